"""The directive ``message-list``: all messages of a category, in Python and on the command line."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive

from dask_onestep.messages.catalogue import MESSAGES


class MessageList(Directive):
    """List the messages whose category is named, with the facts of their examples."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a list with one item per message."""
        items = nodes.bullet_list()
        for message in MESSAGES.values():
            if message.category.__name__ != self.arguments[0]:
                continue
            text = message.text(**message.example)
            item = nodes.list_item("", nodes.paragraph("", "", nodes.Text(str(text))))
            options = [remedy for remedy in text.remedies if remedy.on_command_line() != remedy.in_python()]
            if text.command_line != text and options:
                pairs = [(nodes.literal("", r.in_python()), nodes.literal("", r.on_command_line())) for r in options]
                line = nodes.paragraph("", "", nodes.Text("On the command line: "))
                for at, (python, command) in enumerate(pairs):
                    line += [nodes.Text(", " if at else ""), command, nodes.Text(" for "), python]
                line += nodes.Text(".")
                item += line
            items += item
        return [nodes.paragraph("", "", nodes.strong("", "Messages.")), items]


def setup(app) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("message-list", MessageList)
    return {"parallel_read_safe": True}
