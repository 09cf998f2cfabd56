from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Stop opening new risk at once."
    action = "ops.hold"
