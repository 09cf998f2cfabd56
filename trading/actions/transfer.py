"""`trading.record_transfer`: money that an operator has sent between venues, until its arrival is booked."""

import re
from dataclasses import dataclass
from decimal import Decimal

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from trading.ledger import transfers
from trading.models import Transfer, Venue

_CURRENCY = re.compile(r"[A-Z0-9]{2,12}")
#: What a ledger line can hold: 20 digits before the point, 18 after it.
_MOST, _PLACES = Decimal("1e20"), 18


@dataclass(frozen=True, kw_only=True)
class RecordTransferInput:
    from_venue: str = arg(help="Where it was sent from: a venue, or outside")
    to_venue: str = arg(help="Where it was sent to: a venue, or outside")
    currency: str = arg(help="USDT, BNB, ...")
    amount: Decimal = arg(help="What arrives, without the sender's fee")
    txid: str = arg(help="The transaction's id, as the sending side shows it")


@register
class RecordTransfer(Action[RecordTransferInput]):
    name = "trading.record_transfer"
    title = "Record a transfer"
    help = "Book money sent between venues as in transit until it is on the other venue's statement."
    danger = Danger.NEUTRAL
    locks_desk = False  # no order depends on it
    Input = RecordTransferInput
    reason_required = False

    def target(self, data: RecordTransferInput) -> str:
        return f"{data.from_venue}>{data.to_venue} {data.currency}"

    def check(self, ctx: Context[RecordTransferInput]) -> Outcome | None:
        errors = _errors(ctx.input)
        if errors:
            raise InvalidInput([{"field": field, "detail": detail} for field, detail in errors])
        if Transfer.objects.filter(txid=ctx.input.txid).exists():
            raise Refusal("transfer.known", f"txid {ctx.input.txid} is recorded already", status=409)
        return None

    def execute(self, ctx: Context[RecordTransferInput]) -> Outcome:
        data = ctx.input
        row = transfers.record(
            from_venue=data.from_venue,
            to_venue=data.to_venue,
            currency=data.currency,
            amount=data.amount,
            txid=data.txid,
            requested_by=ctx.actor.row,
        )
        state = "arrived" if row.arrival_id else "in transit"
        body = {"transfer_id": str(row.pk), "state": state}
        return Outcome(Status.EXECUTED, body, after={**body, "amount": data.amount, "txid": data.txid})


def _errors(data: RecordTransferInput) -> list[tuple[str, str]]:
    """What is wrong with the input, by field."""
    known = [*Venue.objects.order_by("name").values_list("name", flat=True), transfers.OUTSIDE]
    names = ", ".join(known)
    errors = [
        (field, f"{venue!r}; accepted: {names}")
        for field, venue in (("from_venue", data.from_venue), ("to_venue", data.to_venue))
        if venue not in known
    ]
    if data.from_venue == data.to_venue:
        errors.append(("to_venue", f"{data.to_venue!r} is where it came from; accepted: another one"))
    if not _CURRENCY.fullmatch(data.currency):
        errors.append(("currency", f"{data.currency[:20]!r}; accepted: 2 to 12 capitals and digits"))
    places = -int(data.amount.as_tuple().exponent)
    if not 0 < data.amount < _MOST or places > _PLACES:
        errors.append(("amount", f"{data.amount}; accepted: above 0, at most {_PLACES} decimals"))
    if not 0 < len(data.txid.strip()) <= 128:
        errors.append(("txid", "accepted: 1 to 128 characters"))
    return errors
