from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Execute a plan."
    action = "trading.execute"
