"""The life of one order: the machine, its table of ways, and how news is merged.

One order is one object, in eight layers that each know only those before them; what a name
says is in its file:

    facts         what is known, and how it is shown
    evidence      what the broker's rows and executions make of it
    history       what any record makes of it: `apply` is the only way to change
    recorder      what follows whenever a record changed it; what is under way
    member        its life in a group, and its own clock
    conversation  submit, modify, cancel, questions
    search        late answers, proofs of absence, a person's word, second orders
    machine       `handle`: one message in, effects out

Beside them stand values and tables: `transitions`, `merge` (executions), `change` (a modify
under way), `group`, `incarnations` (second orders), `adoption`, `image` (for snapshots).
"""

from engine.domain.order.change import MODIFY_NOT_APPLIED
from engine.domain.order.machine import Order
from engine.domain.order.merge import Fills
from engine.domain.order.transitions import TRANSITIONS

__all__ = ["MODIFY_NOT_APPLIED", "TRANSITIONS", "Fills", "Order"]
