from ops.management.votes import VoteCommand


class Command(VoteCommand):
    help = "Approve a request whose digest you have read."
    verdict = "approve"
