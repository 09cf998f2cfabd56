from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Ask to leave HOLD."
    action = "ops.resume"
