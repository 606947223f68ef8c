"""What is known about users at a point in time: pure functions of one user bucket's events and an as-of."""
