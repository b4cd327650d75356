"""What functions of Python's standard library do, in the words of their docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from random import Random

from .words import Turn

DOCUMENTED = """
builtins: abs all any bin bool callable chr dict divmod enumerate filter float format getattr
builtins: hasattr hash hex id
builtins: input int isinstance issubclass iter len list map max min next oct open ord pow print
builtins: range repr reversed
builtins: round set sorted str sum super tuple type vars zip
math: ceil comb cos exp fabs factorial floor fsum gcd hypot isclose isnan isqrt lcm log log10
math: log2 perm prod sin sqrt tan trunc
os: getcwd listdir mkdir makedirs remove rename getenv cpu_count walk
os.path: basename dirname exists isdir isfile join split splitext getsize abspath expanduser
shutil: copy copyfile copytree rmtree move which disk_usage
random: choice choices randint random sample shuffle seed uniform gauss
statistics: mean median mode stdev variance fmean
itertools: chain combinations count cycle groupby islice permutations product repeat takewhile
itertools: zip_longest accumulate
functools: reduce partial lru_cache wraps cache
collections: Counter OrderedDict defaultdict deque namedtuple
json: dumps loads dump load
re: match search sub split findall finditer compile fullmatch escape
string: capwords
textwrap: wrap fill dedent indent shorten
time: sleep time perf_counter strftime localtime monotonic
heapq: heappush heappop heapify nlargest nsmallest
bisect: bisect_left bisect_right insort
copy: copy deepcopy
csv: reader writer
glob: glob
tempfile: mkdtemp TemporaryDirectory NamedTemporaryFile
subprocess: run check_output
hashlib: sha256
base64: b64encode b64decode
urllib.parse: quote unquote urlencode urlparse
secrets: token_hex choice
inspect: getdoc getsource signature
operator: itemgetter attrgetter
dataclasses: dataclass field asdict replace
contextlib: contextmanager suppress
"""
LONGEST = 420  # characters of a paragraph that a small model can still learn


def first_paragraph(text: str) -> str:
    """Return the first paragraph of prose, or nothing."""
    for paragraph in text.split("\n\n"):
        prose = " ".join(paragraph.split())
        if re.search(r"[a-z]\.", prose) and "->" not in prose and len(prose) < LONGEST:
            return prose
    return ""


def load_docs() -> list[tuple[str, str]]:
    """Return qualified names and first paragraphs of the functions above."""
    docs = []
    for line in DOCUMENTED.strip().splitlines():
        module_name, names = line.split(": ")
        module = importlib.import_module(module_name)
        prefix = "" if module_name == "builtins" else f"{module_name}."
        for name in names.split():
            prose = first_paragraph(inspect.getdoc(getattr(module, name)) or "")
            if prose:
                docs.append((prefix + name, prose))
    return docs


DOCS = load_docs()


def explain_function(rng: Random) -> Turn:
    """Ask what a function of the standard library does."""
    name, text = rng.choice(DOCS)
    question = rng.choice(
        (
            f"What does {name} do?",
            f"What does `{name}` do in Python?",
            f"Explain the Python function {name}.",
            f"Explain {name}.",
            f"How does {name} work?",
            f"What is {name} in Python?",
            f"Tell me what {name}() does.",
        )
    )
    return Turn(question, text)
