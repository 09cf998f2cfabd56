from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Ask to leave HOLD and SAFE MODE together."
    action = "ops.launch"
