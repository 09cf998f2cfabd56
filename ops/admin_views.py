"""Pages that act: the form of an action, its confirmation, and the four verbs on a request.

They carry no rules: what is shown comes from `runner.rehearse`, what is done goes through `runner.submit` and
`approvals`. GET shows, POST does.
"""

import json
from typing import Any
from uuid import UUID

import qrcode
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST
from qrcode.image.svg import SvgPathImage

from ops import second_factor, secrets_for
from ops.actions import approvals, registry, runner
from ops.actions.base import Action, Actor, Credential, Outcome, Refusal, Source, Status
from ops.actions.credentials import IssueToken, Own, RevokeToken
from ops.actions.inputs import InputField, describe, without_secrets
from ops.actions.texts import as_data
from ops.canonical import plain
from ops.models import SealedSecret, User


def actor_of(request: HttpRequest) -> Actor:
    assert not isinstance(request.user, AnonymousUser)
    return Actor(request.user, Credential.SESSION)


def _one_time_token(request: HttpRequest) -> str:
    """A form is carried out once, however often it is sent: back button, double click, reload."""
    token = request.POST.get("token", "")
    if not token:
        raise Refusal("form.token", "the form has lost its one-time token: open the page again", status=422)
    return token


def on_record() -> translation.override:
    """What an action says goes into audit, whatever language its page is read in."""
    return translation.override(settings.LANGUAGE_CODE)


# --- an action ---------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def act(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the form, filled from the query. POST `step=review`: what it would do. POST `step=do`: does it."""
    try:
        action = registry.get(name)
    except Refusal as unknown:
        return _tell_and_go_home(request, unknown)
    if request.method == "GET":
        return _form_page(request, action, _form(action, request.GET.dict()))
    if _has_secrets(action):
        return _do(request, action, as_data(action.Input, _of(action, request.POST.dict())))
    if request.POST.get("step") == "do":
        return _do(request, action, _shown_input(request))
    return _review(request, action)


def _has_secrets(action: Action[Any]) -> bool:
    """No confirmation page then: it would have to carry the secret in its HTML."""
    return any(field.secret for field in describe(action.Input))


def _shown_input(request: HttpRequest) -> Any:
    """The input that the confirmation page showed, word for word."""
    try:
        return json.loads(request.POST.get("input", ""))
    except (ValueError, RecursionError):
        return None


def _review(request: HttpRequest, action: Action[Any]) -> HttpResponse:
    texts = request.POST.dict()
    reason = texts.get("reason", "")
    try:
        with on_record():
            rehearsal = runner.rehearse(
                action.name,
                actor=actor_of(request),
                data=as_data(action.Input, _of(action, texts)),
                reason=reason,
                source=Source.ADMIN,
            )
    except Refusal as no:
        return _form_page(request, action, _form(action, texts), no)
    return _page(
        request,
        "admin/act_confirm.html",
        action,
        rehearsal=rehearsal,
        rows=[(name, value) for name, value in rehearsal.input.items() if value is not None],
        input_json=json.dumps(rehearsal.input),
        reason=reason,
    )


def _do(request: HttpRequest, action: Action[Any], data: Any) -> HttpResponse:
    reason = request.POST.get("reason", "")
    try:
        with on_record():
            outcome = runner.submit(
                action.name,
                actor=actor_of(request),
                data=data,
                reason=reason,
                source=Source.ADMIN,
                idempotency_key=_one_time_token(request),
            )
    except Refusal as no:
        kept = without_secrets(action.Input, data) if isinstance(data, dict) else {}
        texts = {k: _text(v) for k, v in kept.items() if v != data[k] or not _has_secrets(action)}
        return _form_page(request, action, _form(action, {**texts, "reason": reason}), no)
    return _outcome(request, action, outcome)


def _outcome(request: HttpRequest, action: Action[Any], outcome: Outcome) -> HttpResponse:
    if outcome.status is Status.PENDING:
        messages.warning(request, _("%(title)s: waits for approval by another person") % _named(action))
        return HttpResponseRedirect(request_url(UUID(outcome.body["approval"]["id"])))
    if outcome.status in {Status.EXECUTED, Status.ACCEPTED}:
        done = {**_named(action), "status": outcome.status.value, "seq": outcome.audit_seq}
        messages.success(request, _("%(title)s: %(status)s (audit entry %(seq)s)") % done)
        if isinstance(action, Own | IssueToken | RevokeToken):
            update_session_auth_hash(request, User.objects.get(pk=actor_of(request).user.pk))
            return HttpResponseRedirect(reverse("admin:me"))
        return HttpResponseRedirect(reverse("admin:index"))
    if outcome.status is Status.DRY_RUN:
        said = _("%(title)s: dry run, nothing was sent: SAFE_MODE is on") % _named(action)
    else:
        said = _("%(title)s: skipped, nothing was sent: %(reason)s") % {
            **_named(action),
            "reason": outcome.body.get("reason", ""),
        }
    messages.warning(request, said)
    body = {k: v for k, v in outcome.body.items() if k != "approval"}
    return _page(request, "admin/act_outcome.html", action, body=_pretty(body), outcome=outcome)


def _named(action: Action[Any]) -> dict[str, Any]:
    return {"title": _(action.title)}


def _form_page(
    request: HttpRequest, action: Action[Any], form: forms.Form, no: Refusal | None = None
) -> HttpResponse:
    if no is not None:
        _tell(request, no)
    return _page(
        request,
        "admin/act.html",
        action,
        form=form,
        refusal=no,
        direct=_has_secrets(action),
        status=200 if no is None else no.status,
    )


def _page(
    request: HttpRequest, template: str, action: Action[Any], *, status: int = 200, **context: Any
) -> HttpResponse:
    shared = {**admin.site.each_context(request), "title": _(action.title), "action": action, **context}
    return TemplateResponse(request, template, shared, status=status)


def _form(action: Action[Any], texts: dict[str, str]) -> forms.Form:
    """The input as a form. It requires nothing itself: the parser does, and names what is wrong."""
    form = forms.Form(initial=texts)
    for field in describe(action.Input):
        form.fields[field.name] = _field(field)
        if field.name not in texts and field.default is not None:
            form.initial[field.name] = _text(field.default)
    form.fields["reason"] = forms.CharField(
        required=False,
        label=_("reason"),
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Required.") if action.reason_required else _("Asked for, not always required."),
    )
    return form


def _field(field: InputField) -> forms.Field:
    common: dict[str, Any] = {"required": False, "label": field.name, "help_text": _(field.help)}
    if field.kind is bool:
        return forms.ChoiceField(choices=[("", "—"), ("true", "true"), ("false", "false")], **common)
    if field.secret:
        return forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "off"}), **common)
    if field.choices:
        return forms.ChoiceField(choices=[("", "—"), *((c, c) for c in field.choices)], **common)
    return forms.CharField(widget=forms.TextInput(attrs={"autocomplete": "off"}), **common)


def _text(value: Any) -> str:
    """As a person would type it."""
    value = plain(value)
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _of(action: Action[Any], texts: dict[str, str]) -> dict[str, str]:
    """The action's own fields of a posted form."""
    names = {field.name for field in describe(action.Input)}
    return {name: text for name, text in texts.items() if name in names}


def _pretty(value: Any) -> str:
    from ops.api.json import dumps

    return json.dumps(json.loads(dumps(value)), indent=2, ensure_ascii=False)


# --- oneself ---


def me(request: HttpRequest) -> HttpResponse:
    """My credentials: what there is, and the forms of the actions on it."""
    user = actor_of(request).user
    context = {
        **admin.site.each_context(request),
        "title": _("My credentials"),
        "enrolled": second_factor.enrolled(user),
        "qr": _qr(second_factor.pending_uri(user)),
        "tokens": user.auth_token_set.all(),
        "secrets": SealedSecret.objects.filter(reader=user, opened_at=None, expires_at__gt=timezone.now()),
    }
    return TemplateResponse(request, "admin/me.html", context, headers={"Cache-Control": "no-store"})


def _qr(uri: str | None) -> dict[str, str] | None:
    """As a picture without any script or style of its own, and as text for who cannot scan."""
    if uri is None:
        return None
    image = qrcode.make(uri, image_factory=SvgPathImage, box_size=12)
    return {"svg": image.to_string(encoding="unicode"), "text": uri.split("secret=")[1].split("&")[0]}


@require_POST
def open_secret(request: HttpRequest, secret_id: UUID) -> HttpResponse:
    """Shown on this one answer and nowhere else."""
    try:
        text = secrets_for.open_for(actor_of(request).user, secret_id, source=Source.ADMIN)
    except Refusal as no:
        _tell(request, no)
        return HttpResponseRedirect(reverse("admin:me"))
    context = {**admin.site.each_context(request), "title": _("Shown once"), "secret": text}
    return TemplateResponse(request, "admin/secret.html", context, headers={"Cache-Control": "no-store"})


# --- a request ---------------------------------------------------------------


def request_url(request_id: UUID) -> str:
    return reverse("admin:ops_approvalrequest_change", args=[request_id])


_WITHOUT_WORDS = {"cancel": approvals.cancel, "apply": approvals.apply, "withdraw": approvals.withdraw}


@require_POST
def decide(request: HttpRequest, request_id: UUID, verb: str) -> HttpResponse:
    """approve, reject (with the digest that the page showed), apply or cancel."""
    try:
        with on_record():
            outcome = _decide(request, request_id, verb)
    except Refusal as no:
        _tell(request, no)
        if no.code == "approval.unknown":
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(request_url(request_id))
    _tell_outcome(request, verb, outcome)
    return HttpResponseRedirect(request_url(request_id))


def _decide(request: HttpRequest, request_id: UUID, verb: str) -> Outcome:
    actor = actor_of(request)
    key = _one_time_token(request)
    if verb in _WITHOUT_WORDS:
        return _WITHOUT_WORDS[verb](request_id, actor=actor, source=Source.ADMIN, idempotency_key=key)
    return approvals.vote(
        request_id,
        actor=actor,
        verdict=verb,
        digest=request.POST.get("digest", ""),
        comment=request.POST.get("comment", ""),
        totp=request.POST.get("totp", ""),
        source=Source.ADMIN,
        idempotency_key=key,
    )


def _tell_outcome(request: HttpRequest, verb: str, outcome: Outcome) -> None:
    approval = outcome.body["approval"]
    refusal = approval["execution"]["refusal"]
    if refusal and verb in {"approve", "apply"}:
        messages.error(request, f"{refusal['code']}: {refusal['detail']}")
    elif outcome.status in {Status.SKIPPED, Status.DRY_RUN}:
        messages.warning(request, f"{outcome.status.value}: {outcome.body.get('reason', 'nothing was sent')}")
    else:
        done = {"verb": verb, "state": _(approval["state"]), "run": _(approval["execution"]["state"])}
        messages.success(request, _("%(verb)s: the request is %(state)s, %(run)s") % done)


def _tell(request: HttpRequest, no: Refusal) -> None:
    messages.error(request, f"{no.code}: {no.detail}")


def _tell_and_go_home(request: HttpRequest, no: Refusal) -> HttpResponse:
    _tell(request, no)
    return HttpResponseRedirect(reverse("admin:index"))
