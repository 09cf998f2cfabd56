"""`make bench`: our figures beside reference figures of the same process and the same run."""
