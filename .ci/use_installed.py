"""Use the installed conv_jax: `use_installed.py README.md`, for .ci/check-dist."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import conv_jax


def main() -> None:
    """Import every module, run their doctests and the README's notebook lines."""
    package = Path(conv_jax.__file__).parent
    assert package.is_relative_to(sys.prefix), f"not the installed one: {package}"
    names = [module.name for module in pkgutil.walk_packages(conv_jax.__path__, "conv_jax.")]
    results = [doctest.testmod(importlib.import_module(name)) for name in names]
    failed, attempted = map(sum, zip(*results, strict=True))
    readme = Path(sys.argv[1]).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    exec("\n".join(blocks), {})
    print(
        f"conv_jax {conv_jax.__version__}: {len(names)} modules imported, {attempted} lines of "
        f"doctests and {len(blocks)} blocks of the README run, {failed} failed"
    )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
