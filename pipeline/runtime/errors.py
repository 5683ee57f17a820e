"""What a user can mend, as an exception."""


class UserError(Exception):
    """Something the user can mend, told in one sentence; the command line prints it and exits with
    1.
    """
