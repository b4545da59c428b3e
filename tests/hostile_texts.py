"""Texts as somebody hostile would name a class, a file or a recipe, for tests of all that shows names."""

import unicodedata

from mnist_ops.errors import legible

# By what they try; each is a valid name of a folder, and shorter than the longest name of a class.
TEXTS = {
    "end of a script": "</script><script>document.title = 'executed'</script>",
    "picture": "<img src=x onerror=\"document.title = 'executed'\">",
    "end of an attribute": "\" onmouseover=\"document.title = 'executed'\" x='",
    "comment": "--><!-- <!--<script>",
    "section": "]]><![CDATA[ <![endif]-->",
    "entity": "&lt;b&gt; &#0; &amp",
    "end of a title": "</title></style></textarea><svg/onload=alert(1)>",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} {0} %s",
    "console markup": "[red]x[/red] [link=https://evil.example]y[/link]",
    "address of code": "javascript:alert(1)",
    "right to left": "access\u202e\u2066// level\u2069\u2066 gnp.exe",  # Trojan Source: Boucher, Anderson 2021
    "marks of direction": "a\u200e\u200f\u061c\u202a\u202d\u2067\u2068b",
    "invisible": "a\u00ad\u200b\ufeff\u2060b",
    "cursor": "\x1b[2J\x1b]0;title\x07\x9b1m\b\b\rgone",
    "lines": "one\ntwo\r\nthree\vfour\ffive\x85six\u2028seven\u2029eight",
    "no text": "a\udcff\ud800b",
    "formula": "=HYPERLINK(\"https://evil.example\",\"x\")",
    "command": "+cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula after a tab": "\t=1+1",
    "formula after a line": "\r=1+1",
    "formula after a space": " =1+1",
    "formula after a semicolon": "a;=1+1;\"=2+2\"",
    "wide formula": "＝1+1",  # noqa: RUF001
    "columns": "a,\"b\";c\td|e",
    "end of a comment": "*/ #error hostile /* // \\",
    "trigraph": "??/ ??) %: \"; int x; //",
    "continued line": "a\\\n#error hostile",
    "markdown": "# a\n\n## b\n- c\n1. d\n```\n<b>\n```\n| e | f |\n|---|---|",
    "end of code": "`` ` ```x <b>y</b> `",
    "link": "[x](https://evil.example) ![y](https://evil.example/z) <https://evil.example> www.evil.example a@b.org",
    "mathematics": "$\\frac{1}{$ \\input{/etc/passwd} ~~x~~ **y** __z__",
    "property": "x\nurl=https://evil.example\nincludes=evil.h",
    "long": "long " + "w" * 240,
}
NAMES = tuple(TEXTS.values())
SHOWN = tuple(map(legible, NAMES))
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of characters that are not seen, or move what is


def hidden(text: str, allowed: str = "\n") -> set[str]:
    """What in a text is not seen, or moves what is, but for what is allowed."""
    return {one for one in text if unicodedata.category(one) in HIDDEN and one not in allowed}
