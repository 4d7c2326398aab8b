"""The session operations as SQL to copy: laid out for reading, with what they do and what their parameters mean."""

import re
import textwrap
from collections.abc import Mapping

from bridge.storage.schema.description import TITLES
from bridge.storage.schema.markdown import build_table, mark
from bridge.storage.session_queries import PARAMETERS, published

OPERATIONS: Mapping[str, str] = {
    "create_session": "Makes a session of the application's own (`Origin` is `local`). It signs nobody in at the "
    "bridge: only a sign-in through the bridge does. `SessionType` must be `web`, `api`, `mobile` or `console`. The "
    "database takes any text, and the application must give one of these: the library and the command of the bridge "
    "refuse to list, count or end sessions by another type.",
    "get_active_session": "Finds the living session of a token, with its person: a session of the bridge by the value "
    "of its cookie or access token, one of the application by its `SessionToken`. No row means: not signed in.",
    "update_activity": "Notes that a living session was used. Times never go back, and `ExpiresAt` never moves.",
    "count_concurrent": "Counts the living sessions of a person of one type, without those mirrored from Keycloak.",
    "get_user_sessions": "Lists the living sessions of a person, newest first. A session of Keycloak is left out while "
    "one of the bridge stands for it.",
    "invalidate_session": "Ends one session. The bridge obeys within a second. A session that has ended stays as it "
    "ended.",
    "invalidate_user_sessions": "Ends all sessions of a person in a package, whoever opened them.",
    "cleanup_expired": "Ends the application's own sessions that have expired, then deletes those that have been over "
    "long enough, in this order. The bridge cleans up its own and the mirrored ones by itself.",
}
"""What each does, in the order of a session's life."""
WIDTH = 110
ALIASES = {"sys_usersession": "s", "sys_user": "u", "session_credential": "k"}
TABLE_DOT = re.compile(rf"\b({'|'.join(ALIASES)})\.")
FROM_TABLE = re.compile(rf"\b(?:FROM|JOIN) ({'|'.join(ALIASES)})\b(?! AS\b)")
STOPS = re.compile(
    r"('[^']*'|\(SELECT\b|[()]|\b(?:(?<!DELETE )FROM|WHERE|AND|SET|VALUES|ORDER BY|(?:INNER )?JOIN|UNION)\b)"
)
PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
QUOTED = re.compile(r"'[^']*'")
CALL = re.compile(r"\b\w+\([^()]*\)")
ASSIGNMENT = re.compile(r", (?=[\"`]\w+[\"`]=)")
HARD_BLANK = "\0"


def operation_sql(dialect: str, name: str) -> list[str]:
    """Return the statements of an operation for `sqlite`, `postgresql` or `mariadb`, laid out, without semicolons.

    Raises:
        KeyError: there is no such dialect or operation.
    """
    return [lay_out(statement) for statement in published(dialect)[name]]


def build_script(dialect: str, name: str | None = None) -> str:
    """Return one operation, or all of them in the order of a session's life, as a commented script.

    Raises:
        KeyError: there is no such dialect or operation.
    """
    parts: list[str] = []
    for one in OPERATIONS if name is None else (name,):
        statements = operation_sql(dialect, one)
        comment = textwrap.wrap(OPERATIONS[one].replace("`", ""), WIDTH - 3, break_on_hyphens=False)
        parameters = [f"  :{parameter}  {PARAMETERS[parameter]}" for parameter in parameters_of(statements)]
        head = "\n".join(f"-- {line}" for line in [one, *comment, *parameters])
        parts.append("\n".join([head, *(f"{statement};" for statement in statements)]))
    return "\n\n".join(parts) + "\n"


def parameters_of(statements: list[str]) -> list[str]:
    """Return the parameters of statements, each once, in the order they come in."""
    found = (name for statement in statements for name in PARAMETER.findall(QUOTED.sub("", statement)))
    return list(dict.fromkeys(found))


def lay_out(sql: str) -> str:
    """Return a statement with a line for each clause and each condition, and short names of tables.

    What it says stays the same.
    """
    lines, indents, selects = [""], [0], [True]  # of the statement and each open parenthesis: does it begin by SELECT?
    for part in STOPS.split(_shorten(_harden(sql))):
        if part == ")":
            selects.pop()
        elif part.startswith("("):
            selects.append(part != "(")
        elif STOPS.fullmatch(part) and not part.startswith("'") and selects[-1]:
            lines.append("")
            indents.append(4 * sum(selects) - 4 + 2 * (part == "AND"))
        lines[-1] += part
    texts = [_wrap(line.strip(), " " * indent) for line, indent in zip(lines, indents, strict=True)]
    return "\n".join(texts).replace(HARD_BLANK, " ")


def _harden(sql: str) -> str:
    """Return the statement in one line, without places to break a line inside texts and calls of functions."""
    quoted = QUOTED.sub(lambda found: found[0].replace(" ", HARD_BLANK), sql)
    return CALL.sub(lambda found: found[0].replace(" ", HARD_BLANK), " ".join(quoted.split()))


def _shorten(sql: str) -> str:
    """Return the statement with an alias for each table, or without the table's name where there is only one."""
    if not sql.startswith("SELECT"):
        return TABLE_DOT.sub("", sql)
    named = FROM_TABLE.sub(lambda found: f"{found[0]} AS {ALIASES[found[1]]}", sql)
    return TABLE_DOT.sub(lambda found: f"{ALIASES[found[1]]}.", named)


def _wrap(line: str, indent: str) -> str:
    first, *further = ASSIGNMENT.split(line)
    texts = [f"{indent}{first}", *(f"{indent}  {text}" for text in further)]
    wrapper = textwrap.TextWrapper(
        WIDTH, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )
    return ",\n".join(map(wrapper.fill, texts))


def build_page() -> list[str]:
    """Return the page of the statements."""
    lines = [
        "# Session statements",
        "",
        "The eight operations on sessions as SQL, for applications in any language. They are made from the definitions",
        "that the bridge itself runs, and go by the database's clock. As a script:",
        "`keycloak-bridge schema queries --dialect mariadb`.",
        "",
        "* A parameter is written `:name`. Write it as your driver wants it: `%(name)s`, `?`, `@name`, `$1`.",
        "* Times are given in UTC. On SQLite they are texts with six digits behind the second:",
        "  `2026-01-31 08:00:00.000000`.",
        "* No statement needs a right beyond those of an application, but `get_active_session`: it reads",
        "  `session_credential`. Give that right to nobody who does not need it.",
        "",
        *(f"* [{name}](#{name})" for name in OPERATIONS),
    ]
    for name in OPERATIONS:
        statements = {dialect: operation_sql(dialect, name) for dialect in TITLES}
        parameters = parameters_of(statements["postgresql"])
        rows = [(mark(parameter), PARAMETERS[parameter]) for parameter in parameters]
        lines += ["", f"## {name}", "", OPERATIONS[name], "", *build_table(("parameter", "meaning"), rows)]
        for dialect, title in TITLES.items():
            lines += ["", f"{title}:", "", "```sql", *(f"{statement};" for statement in statements[dialect]), "```"]
    return lines
