from ops.management.votes import VoteCommand


class Command(VoteCommand):
    help = "Reject a request, with a comment."
    verdict = "reject"
