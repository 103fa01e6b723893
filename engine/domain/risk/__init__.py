"""An account's risk: its limits, its exposure, its checks and the machine that owns them.

Rule 1: only this package makes an `ApprovedTicket` or an `ApprovedChange`.
"""

from engine.domain.risk.account import AccountRisk
from engine.domain.risk.checks import CHECKS, check_order
from engine.domain.risk.effects import (
    HaltAccount,
    LastReconciled,
    LimitsChanged,
    ObserveChecks,
    RiskEffect,
    RiskMessage,
    StartDenied,
    StartOrder,
)
from engine.domain.risk.exposure import Exposure
from engine.domain.risk.inputs import Former, Inputs
from engine.domain.risk.limits import Limit, Limits, Setting, limits_view
from engine.domain.risk.policy import (
    Change,
    Level,
    Override,
    PolicyProblem,
    RiskPolicy,
    policy_changes,
    reload_refusal,
)
from engine.domain.risk.verdict import Check, Code, Verdict

__all__ = [
    "CHECKS",
    "AccountRisk",
    "Change",
    "Check",
    "Code",
    "Exposure",
    "Former",
    "HaltAccount",
    "Inputs",
    "LastReconciled",
    "Level",
    "Limit",
    "Limits",
    "LimitsChanged",
    "ObserveChecks",
    "Override",
    "PolicyProblem",
    "RiskEffect",
    "RiskMessage",
    "RiskPolicy",
    "Setting",
    "StartDenied",
    "StartOrder",
    "Verdict",
    "check_order",
    "limits_view",
    "policy_changes",
    "reload_refusal",
]
