from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Close every open pair."
    action = "trading.flatten"
