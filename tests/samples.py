"""The order that most tests start from: a buy of 10 shares at 100."""

from decimal import Decimal
from typing import Final

from engine.domain.values import (
    AccountId,
    ClientOrderId,
    ConId,
    OrderType,
    Side,
    Ticket,
    TimeInForce,
)

LIMIT_BUY: Final = Ticket(
    account=AccountId("DU1234567"),
    client_order_id=ClientOrderId("mine-1"),
    conid=ConId(265598),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    limit_price=Decimal(100),
    tif=TimeInForce.DAY,
)
