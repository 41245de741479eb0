#!/usr/bin/env bash
# Builds for a GPU, checks parity with the CPU, and measures: within ten minutes on 16 cores and an H100, without network.
# Needs Node.js, npm's packages in node_modules, nvcc, a C++ compiler, CMake, and a Python with a CUDA torch, transformers
# and sentence-transformers (PYTHON, default python3). Carry along, if there is no network: node_modules, and the directory
# that `npm run setup` puts all-MiniLM-L6-v2 into (LISTWISE_CACHE names the cache it lies in).
#   bench/gpu.sh [RESULTS]    writes RESULTS (default gpu-results.json), after each part; ROUNDS (default 3) of each
set -eu -o pipefail
cd "$(dirname "$0")/.."
export PYTHON=${PYTHON:-python3} PATH="$PATH:/usr/local/cuda/bin" HF_HUB_OFFLINE=1
results=${1:-gpu-results.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

part() {
  echo
  echo "== $1 (after $SECONDS s)"
}

for tool in node nvcc cmake "$PYTHON"; do
  command -v "$tool" > /dev/null || { echo "bench/gpu.sh needs $tool, and it is not in PATH." >&2; exit 1; }
done
LIBTORCH=$("$PYTHON" -c 'import os, torch; assert torch.cuda.is_available(), "torch sees no GPU"; print(os.path.dirname(torch.__file__))')
export LIBTORCH

part "Build against $LIBTORCH"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm --format=csv || true
node lib/setup/main.js --model --print

part 'Gradients of every family on the GPU, against autograd in double precision'
npx --no-install mocha test/gradients.spec.ts
part 'Embeddings and gradients of all-MiniLM-L6-v2 on the GPU, against the CPU, in fp32 and bf16'
node --import=tsx bench/gpu-parity.ts

part 'A BERT-base with random weights, and the tokenizer of all-MiniLM-L6-v2'
small=$(node -e "import('./lib/setup/model.js').then((m) => console.log(m.smallModelDirectory()))")
"$PYTHON" - "$work/bert-base" "$small" << 'PYTHON'
import sys
import torch
from transformers import AutoTokenizer, BertConfig, BertModel
torch.manual_seed(1)
BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(sys.argv[2]).save_pretrained(sys.argv[1])
PYTHON

part 'Against the peer'
node --import=tsx bench/peers/main.ts papers train encode --device cuda --queries 256 --rounds "${ROUNDS:-3}" --threads "$(nproc)" \
  --python "$PYTHON" --model "$work/bert-base" --json "$results"
part "Done: $results"
