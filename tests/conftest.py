"""Nothing yet: pytest puts this directory on the path because of this file."""
