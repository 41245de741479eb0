#!/usr/bin/env bash
# Builds for a GPU, checks parity with the CPU, and measures, within ten minutes, without network. Needs Node.js, npm's
# packages in node_modules, nvcc, a C++ compiler, CMake, and a Python with a CUDA torch, transformers and
# sentence-transformers (PYTHON, default python3). Carry along, if there is no network: node_modules, and the directory
# that `npm run setup` puts all-MiniLM-L6-v2 into (LISTWISE_CACHE names the cache it lies in).
#   bench/gpu.sh [RESULTS]    writes RESULTS (default gpu-results.json)
set -eu -o pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
results=${1:-gpu-results.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

LIBTORCH=$("$python" -c 'import os, torch; assert torch.cuda.is_available(), "torch sees no GPU"; print(os.path.dirname(torch.__file__))')
export LIBTORCH
echo "== Build against $LIBTORCH"
node lib/setup/main.js --model

echo '== A BERT-base with random weights, and the tokenizer of all-MiniLM-L6-v2'
small=$(node -e "import('./lib/setup/model.js').then((m) => console.log(m.smallModelDirectory()))")
"$python" - "$work/bert-base" "$small" <<'PYTHON'
import sys
import torch
from transformers import AutoTokenizer, BertConfig, BertModel
torch.manual_seed(1)
BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(sys.argv[2]).save_pretrained(sys.argv[1])
PYTHON

echo '== Parity with the CPU'
node --import=tsx bench/gpu-parity.ts

echo '== Against the peer'
node --import=tsx bench/peers/main.ts encode train papers --device cuda --rounds 3 --python "$python" \
  --model "$work/bert-base" --json "$results"
