"""Every alarm code: what it means, what follows, what to do (ISA-18.2). `docs/alarms.md` is made from it.

Texts come in both languages of the desk here and not in a translation file: an export is written in the
language that was asked for, whoever asks.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["P0", "P1", "P2"]
Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")


@dataclass(frozen=True, slots=True)
class Text:
    en: str
    ru: str

    def in_(self, language: Language) -> str:
        return self.ru if language == "ru" else self.en


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One code. runbook: section of the runbook that says more."""

    code: str
    severity: Severity
    component: str
    title: Text
    cause: Text
    consequence: Text
    action: Text
    runbook: str


MANUAL = "manual"
_ROWS = (
    Alarm(
        code="hold.raised",
        severity="P1",
        component="desk",
        title=Text("The machine raised HOLD", "Машина поставила HOLD"),
        cause=Text(
            "A guard, a probe or a worker found a condition under which nothing new may open.",
            "Защита, проверка или исполнитель нашли условие, при котором нельзя открывать новое.",
        ),
        consequence=Text(
            "No new risk in the scope of the cause; open requests that increase risk are voided when it is "
            "the desk. Closes, hedges and rescues go on.",
            "В области причины не открывается новый риск; если это весь деск, открытые заявки на увеличение "
            "риска аннулированы. Закрытия, хеджи и спасения продолжаются.",
        ),
        action=Text(
            "Read the cause, remove it, check positions at the venues, then ask for ops.resume.",
            "Прочитать причину, устранить её, сверить позиции на площадках, затем запросить ops.resume.",
        ),
        runbook="7",
    ),
    Alarm(
        code="leader.changed",
        severity="P1",
        component="leader",
        title=Text("Another term has begun", "Начался другой срок лидерства"),
        cause=Text(
            "An instance took the lease: it was free, its holder was silent for too long, or two people "
            "took it.",
            "Инстанс взял лидерство: лок был свободен, держатель слишком долго молчал или лок взяли двое "
            "людей.",
        ),
        consequence=Text(
            "HOLD. Approvals given under the old term are void. The new leader cancels and settles what "
            "older terms left at the venues; until then nobody can resume.",
            "HOLD. Подтверждения прежнего срока недействительны. Новый лидер снимает и выясняет то, что "
            "прежние сроки оставили на площадках; до этого возобновление невозможно.",
        ),
        action=Text(
            "See why the old leader went. Check /live-readiness, /healthz and the overview on the new one, "
            "and that the old one stays a standby; then ask for ops.resume.",
            "Выяснить, почему ушёл прежний лидер. Проверить /live-readiness, /healthz и overview на новом "
            "узле, убедиться, что старый остаётся в резерве; затем запросить ops.resume.",
        ),
        runbook="9",
    ),
    Alarm(
        code="execution.rescued",
        severity="P1",
        component="execution",
        title=Text("A rescue has started", "Началось спасение исполнения"),
        cause=Text(
            "One leg filled and the other did not fill in time.",
            "Одна нога исполнилась, другая не исполнилась вовремя.",
        ),
        consequence=Text(
            "The desk trades on one side to become neutral again and pays for it.",
            "Деск торгует одной стороной, чтобы снова стать нейтральным, и платит за это.",
        ),
        action=Text(
            "Watch the execution until it is BALANCED or FLAT; find out why the other leg did not fill.",
            "Следить за исполнением до BALANCED или FLAT; выяснить, почему вторая нога не исполнилась.",
        ),
        runbook="4",
    ),
    Alarm(
        code="execution.naked",
        severity="P0",
        component="execution",
        title=Text("A position stays unhedged", "Позиция остаётся незахеджированной"),
        cause=Text(
            "The legs have differed for longer than naked_max_sec, and the machine could not end it.",
            "Ноги исполнения различаются дольше naked_max_sec, и машина не смогла это закончить.",
        ),
        consequence=Text(
            "The desk carries price risk: the execution's page says how much per 1 %.",
            "Деск несёт ценовой риск: сколько на 1 %, сказано на странице исполнения.",
        ),
        action=Text(
            "Look at both venues; order trading.rescue reverse, or resolve the order in doubt with evidence.",
            "Проверить обе площадки; приказать trading.rescue reverse или доказательно разрешить ордер.",
        ),
        runbook="4",
    ),
    Alarm(
        code="execution.forced",
        severity="P0",
        component="execution",
        title=Text("A venue closed a leg by itself", "Площадка сама закрыла ногу"),
        cause=Text(
            "Liquidation, ADL or settlement: a fill that no order of ours asked for.",
            "Ликвидация, ADL или расчёт: сделка, которую наш ордер не запрашивал.",
        ),
        consequence=Text(
            "The other leg is unhedged; the machine is taking it out.",
            "Другая нога не захеджирована; машина её закрывает.",
        ),
        action=Text(
            "See the execution become FLAT; then check margin and leverage there before any resume.",
            "Убедиться, что исполнение стало FLAT; до возобновления проверить маржу и плечо на площадке.",
        ),
        runbook="4",
    ),
    Alarm(
        code="execution.slow",
        severity="P2",
        component="execution",
        title=Text("An execution took too long", "Исполнение заняло слишком много времени"),
        cause=Text(
            "Sending, hedging or the naked time was over its bound in the configuration (slo_*).",
            "Отправка, хеджирование или время без хеджа превысили границу из конфигурации (slo_*).",
        ),
        consequence=Text(
            "Prices move in that time: the edge that was seen is not the edge that is captured.",
            "За это время цены уходят: увиденный спред не равен полученному.",
        ),
        action=Text(
            "Compare the execution's times with others: one venue, the worker, or the database?",
            "Сравнить времена исполнения с другими: площадка, воркер или база данных?",
        ),
        runbook="4",
    ),
    Alarm(
        code="reconciliation.break",
        severity="P1",
        component="reconciliation",
        title=Text("Books and venue do not agree", "Книги и площадка не сходятся"),
        cause=Text(
            "An order, a fill, a position or money differs, and no fill or bill of the venue explains it.",
            "Ордер, сделка, позиция или деньги различаются, и ни одна сделка или проводка это не объясняет.",
        ),
        consequence=Text(
            "What the desk believes it holds is not what it holds; older than hold_after_sec it is held.",
            "Деск владеет не тем, чем думает; старше hold_after_sec разрыв остановит открытие.",
        ),
        action=Text(
            "Compare with the venue's own page. Foreign activity: end it. Explained: trading.accept_break.",
            "Сверить со страницей площадки. Чужая активность: прекратить. Объяснено: trading.accept_break.",
        ),
        runbook="4",
    ),
    Alarm(
        code="reconciliation.held",
        severity="P1",
        component="reconciliation",
        title=Text("An old break holds a venue", "Старый разрыв остановил площадку"),
        cause=Text(
            "A difference between books and venue is older than hold_after_sec.",
            "Расхождение между книгами и площадкой старше hold_after_sec.",
        ),
        consequence=Text(
            "Nothing new opens on that venue; reducing goes on.",
            "На этой площадке ничего нового не открывается; сокращение продолжается.",
        ),
        action=Text(
            "Find out what it is before anything else is opened there.",
            "Выяснить причину, прежде чем открывать там что-либо.",
        ),
        runbook="4",
    ),
    Alarm(
        code="execution.quarantined",
        severity="P0",
        component="execution",
        title=Text("An execution is quarantined", "Исполнение в карантине"),
        cause=Text(
            "The machine could not settle an execution by the rules that it has.",
            "Машина не смогла завершить исполнение по своим правилам.",
        ),
        consequence=Text(
            "The desk is in HOLD; what the execution left at the venues may be unhedged.",
            "Деск в HOLD; оставшееся от исполнения на площадках может быть не захеджировано.",
        ),
        action=Text(
            "Compare the execution's orders and positions with the venues; close it or flatten; find the "
            "root cause.",
            "Сверить ордера и позиции исполнения с площадками; закрыть его или выполнить flatten; найти "
            "первопричину.",
        ),
        runbook="4",
    ),
    Alarm(
        code="desk.panic",
        severity="P0",
        component="desk",
        title=Text("Panic was used", "Использован panic"),
        cause=Text(
            "Somebody cancelled or flattened straight at the venues with `manage.py panic`.",
            "Кто-то снял ордера или закрыл позиции прямо на площадках командой `manage.py panic`.",
        ),
        consequence=Text(
            "Our books do not know these orders yet; the desk is in HOLD.",
            "Наши книги ещё не знают этих ордеров; деск в HOLD.",
        ),
        action=Text(
            "Read the imported audit lines; let reconciliation explain what differs, or accept it.",
            "Прочитать импортированные записи аудита; дать сверке объяснить расхождения или принять их.",
        ),
        runbook="4",
    ),
    Alarm(
        code="drill.failed",
        severity="P1",
        component="execution",
        title=Text("The kill drill failed", "Учебная остановка не удалась"),
        cause=Text(
            "The exercise on paper venues did not end with everything cancelled and flat.",
            "Упражнение на бумажных площадках не закончилось снятием всех ордеров и закрытием позиций.",
        ),
        consequence=Text(
            "Stopping may not work when it is needed.",
            "Остановка может не сработать, когда понадобится.",
        ),
        action=Text(
            "Run `manage.py drill`, read which venue did not confirm, repair before anything new is opened.",
            "Выполнить `manage.py drill`, найти площадку без подтверждения, исправить до новых открытий.",
        ),
        runbook="4",
    ),
    Alarm(
        code="guard.tripped",
        severity="P0",
        component="guards",
        title=Text("A guard has tripped", "Сработал гард"),
        cause=Text(
            "What a guard watches left its bounds, or nobody could tell for too long.",
            "Наблюдаемое гардом вышло за границы, или слишком долго было неизвестно.",
        ),
        consequence=Text(
            "Nothing new opens on the desk, or on the venue it is about; closes, hedges and rescues go on.",
            "На деске или на его площадке ничего нового не открывается; закрытия, хеджи и спасения идут.",
        ),
        action=Text(
            "Read the guard, remove the cause, set it to OK (risk.clear_guard), then ask for ops.resume.",
            "Прочитать гард, устранить причину, поставить гард в OK (risk.clear_guard), затем запросить "
            "ops.resume.",
        ),
        runbook="7",
    ),
    Alarm(
        code="execution.residual",
        severity="P2",
        component="execution",
        title=Text("A residual has been held for long", "Остаток удерживается слишком долго"),
        cause=Text(
            "What an execution left is below a venue's minimum and older than `residual_max_sec`.",
            "Остаток исполнения меньше минимума площадки и старше `residual_max_sec`.",
        ),
        consequence=Text(
            "A small unhedged position stays; it moves with the price.",
            "Остаётся небольшая незахеджированная позиция; она движется с ценой.",
        ),
        action=Text(
            "Give it an owner (trading.assign_residual); trade it out with the next execution on that "
            "instrument or at the venue.",
            "Назначить владельца (trading.assign_residual); закрыть со следующим исполнением по этому "
            "инструменту или на площадке.",
        ),
        runbook="4",
    ),
    Alarm(
        code="order.unknown",
        severity="P1",
        component="execution",
        title=Text("An order's fate is unknown", "Судьба ордера неизвестна"),
        cause=Text(
            "For longer than `unknown_max_ms` the venue has not said what became of an order that was sent.",
            "Дольше `unknown_max_ms` площадка не сказала, что стало с отправленным ордером.",
        ),
        consequence=Text(
            "The leg counts as possibly filled; its execution is quarantined and the desk is in HOLD.",
            "Нога считается возможно исполненной; её исполнение в карантине, деск в HOLD.",
        ),
        action=Text(
            "Look the client order id up at the venue; the machine goes on asking, and settles it by the "
            "answer.",
            "Найти client order id на площадке; машина продолжает опрос и завершит ордер по ответу.",
        ),
        runbook="4",
    ),
    Alarm(
        code="flatten.unverified",
        severity="P0",
        component="execution",
        title=Text("A flatten could not be verified", "Flatten не подтверждён"),
        cause=Text(
            "Executions were still open at the deadline, or a venue did not confirm that it is flat.",
            "К сроку остались открытые исполнения или площадка не подтвердила отсутствие позиций.",
        ),
        consequence=Text(
            "Positions or orders may be left at a venue although the desk was asked to be flat.",
            "На площадке могут остаться позиции или ордера, хотя запрошено полное закрытие.",
        ),
        action=Text(
            "Read the job's result, look at the venue's own screens, flatten again or close by hand.",
            "Прочитать результат задания, проверить экраны площадки, повторить flatten или закрыть вручную.",
        ),
        runbook="4",
    ),
    # P0: what the log says is what every other control is proven by.
    Alarm(
        code="audit.broken",
        severity="P0",
        component="audit",
        title=Text("The audit chain is broken", "Цепочка аудита нарушена"),
        cause=Text(
            "An audit entry was changed, removed or inserted past the desk.",
            "Запись аудита изменена, удалена или вставлена в обход деска.",
        ),
        consequence=Text(
            "What the log says cannot be relied on from that entry; the desk cannot be resumed.",
            "Журналу нельзя верить начиная с этой записи; снять HOLD нельзя.",
        ),
        action=Text(
            "Run `manage.py audit verify`, secure the database and its backups, find out who had access.",
            "Выполнить `manage.py audit verify`, сохранить базу и её копии, выяснить, у кого был доступ.",
        ),
        runbook="4",
    ),
    # P1, not P0: the control held and nothing was changed; were it P0, a stale page of one person, or whoever
    # wants to keep the desk down, could block every resume with a single wrong digest.
    Alarm(
        code="tamper.refused",
        severity="P1",
        component="controls",
        title=Text("A control refused tampering", "Контроль отклонил подмену"),
        cause=Text(
            "A change without an approved request, a frozen or append-only row, a digest that is not the "
            "request's: the database or the digest check stopped it.",
            "Изменение без одобренной заявки, замороженная или неизменяемая строка, чужой дайджест: это "
            "остановила база данных или проверка дайджеста.",
        ),
        consequence=Text(
            "Nothing was changed: either the code has a fault or somebody is trying a way round it.",
            "Ничего не изменено: либо ошибка в коде, либо кто-то ищет обходной путь.",
        ),
        action=Text(
            "Ask the named person what was being done; read the audit entries of the same request.",
            "Спросить названного человека, что делалось; прочитать записи аудита того же запроса.",
        ),
        runbook="4",
    ),
    Alarm(
        code=MANUAL,
        severity="P2",
        component="desk",
        title=Text("Opened by a person", "Открыт человеком"),
        cause=Text("A person saw something: see the summary.", "Человек что-то заметил: см. описание."),
        consequence=Text("As the summary says.", "Как сказано в описании."),
        action=Text(
            "Acknowledge, take ownership, write down what is done.",
            "Подтвердить, назначить ответственного, записывать сделанное.",
        ),
        runbook="4",
    ),
)
ALARMS = {row.code: row for row in _ROWS}


def find(code: str) -> Alarm:
    """Raises LookupError naming the codes there are."""
    try:
        return ALARMS[code]
    except KeyError:
        raise LookupError(f"alarm {code!r}; accepted: {', '.join(ALARMS)}") from None


def in_language(alarm: Alarm, wanted: str) -> dict[str, str]:
    """Its texts and where to read on, for a page. wanted: a language tag; all but Russian is English."""
    language: Language = "ru" if wanted.startswith("ru") else "en"
    texts = {name: getattr(alarm, name).in_(language) for name in ("title", "cause", "consequence", "action")}
    return {**texts, "runbook": alarm.runbook}


_WORDS = {
    "en": ("Cause", "Consequence", "Action", "Severity", "component", "runbook"),
    "ru": ("Причина", "Последствие", "Действие", "Важность", "компонент", "ранбук"),
}


def as_markdown(alarm: Alarm, language: Language) -> str:
    """The row as a list, without a heading."""
    cause, consequence, action, severity, component, runbook = _WORDS[language]
    return "\n".join(
        (
            f"- {severity} {alarm.severity}, {component} `{alarm.component}`, {runbook} §{alarm.runbook}",
            f"- {cause}: {alarm.cause.in_(language)}",
            f"- {consequence}: {alarm.consequence.in_(language)}",
            f"- {action}: {alarm.action.in_(language)}",
        )
    )


def document() -> str:
    """`docs/alarms.md`, whole."""
    parts = [
        "# Alarms",
        "Written by `manage.py incident catalogue --write` from `ops/incidents/catalogue.py`; a test holds "
        "them together.",
    ]
    for alarm in ALARMS.values():
        parts.append(f"## {alarm.code}")
        for language in LANGUAGES:
            parts.append(f"**{alarm.title.in_(language)}**\n\n{as_markdown(alarm, language)}")
    return "\n\n".join(parts) + "\n"
