from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Close one execution."
    action = "trading.close"
