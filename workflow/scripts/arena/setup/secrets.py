"""Keys and passwords in config.yaml and in addresses: refused, and never printed."""

import os
import re
from collections.abc import Mapping
from typing import Any

from arena.support.coerce import dict_of, list_of, text_of
from arena.support.errors import ConfigError

_USER = re.compile(r"(?<=//)[^/@\s]*@|[^/@\s'\"]+:[^/@\s]+@")
_QUERY = re.compile(
    r"([?&][\w-]*(?:key|token|secret|auth|sig|pass)[\w-]*=)[^&\s'\"]+", re.IGNORECASE
)
# Prefixes of the providers' keys; or long texts of digits, lower and upper case.
_KEY = re.compile(
    r"\b(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp|r8|glpat|pplx|csk|fw|tgp)[-_][\w-]{8,}|\bAIza[\w-]{20,}"
    r"|\beyJ[\w.-]{20,}|\b[0-9a-fA-F]{32,}\b|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[\w-]{32,}"
)


def without_secrets(text: str) -> str:
    """The text with `***` in place of everything that looks like a key or a password."""
    return _KEY.sub("***", _QUERY.sub(r"\1***", _USER.sub("***@", text)))


def check_address(url: str, where: str) -> None:
    """Raise ConfigError for an address that contains a password or a key, or is no base URL."""
    user = "@" in re.sub("^.*?://", "", url).split("/")[0]
    if user or _QUERY.search(url) or _KEY.search(url):
        what = "a user name or password" if user else "a key"
        raise ConfigError(
            f"{where}: {without_secrets(url)} contains {what}, which would appear in logs. Remove "
            "it; a key is set by api_key_env (or by api_key in api_config.yaml)"
        )
    if url.rstrip("/").endswith("/completions"):
        raise ConfigError(f"{where}: {url}: remove /chat/completions; the URL should end with /v1")


def check_block(block: str, given: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError for a secret in config.yaml's block `judge` or `answers`."""
    for number, entry in enumerate(list_of(given.get("endpoints"))):
        where = f"config: {block}.endpoints.{number}"
        if url := text_of(dict_of(entry).get("api_base")):
            check_address(url, f"{where}.api_base")
        name = dict_of(entry).get("api_key_env")
        is_name = isinstance(name, str) and name.isidentifier() and not _KEY.search(name)
        if name and not is_name and not (isinstance(name, str) and name in env):
            raise ConfigError(
                f"{where}.api_key_env: not the name of an environment variable, perhaps the key "
                "itself. Export the key (`export JUDGE_KEY=...`) and write the variable's name"
            )
    for key, value in dict_of(given.get("env")).items():
        if _KEY.search(text_of(value) or ""):
            raise ConfigError(
                f"config: {block}.env.{key}: this looks like a key, and config.yaml is copied into "
                f"the results. Export it in the shell that starts snakemake (`export {key}=...`)"
            )
