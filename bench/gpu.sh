#!/usr/bin/env bash
# Builds for a GPU, checks parity with the CPU, and measures: within ten minutes on 16 cores and an H100, without network.
# Needs Node.js, npm's packages in node_modules, nvcc, a C++ compiler, CMake, and a Python with a CUDA torch, transformers
# and sentence-transformers (PYTHON, default python3). Carry along, if there is no network: node_modules, and the directory
# that `npm run setup` puts all-MiniLM-L6-v2 into (LISTWISE_CACHE names the cache it lies in).
#   bench/gpu.sh [RESULTS]    writes RESULTS (default gpu-results.json), after each part; ROUNDS (default 3) of each
#   DEVICE=cpu bench/gpu.sh   on any machine: all but nvcc and the GPU, in small, to see that the script works
# By reckoning, an H100: building 60 s, checks 90 s, papers 150 s, train 120 s, encode 45 s, and the whole step of 4,096
# queries of 20 distinct passages 100 s, which is left out where more than 450 s have gone.
set -eu -o pipefail
cd "$(dirname "$0")/.."
export PYTHON=${PYTHON:-python3} PATH="$PATH:/usr/local/cuda/bin" HF_HUB_OFFLINE=1
results=${1:-gpu-results.json}
device=${DEVICE:-cuda}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

part() {
  echo
  echo "== $1 (after $SECONDS s)"
}

tools=(node cmake "$PYTHON")
if [ "$device" != cpu ]; then tools+=(nvcc); fi
for tool in "${tools[@]}"; do
  command -v "$tool" > /dev/null || { echo "bench/gpu.sh needs $tool, and it is not in PATH." >&2; exit 1; }
done
if [ "$device" != cpu ]; then
  LIBTORCH=$("$PYTHON" -c 'import os, torch; assert torch.cuda.is_available(), "torch sees no GPU"; print(os.path.dirname(torch.__file__))')
  export LIBTORCH
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm --format=csv || true
fi

part "Build${LIBTORCH:+ against $LIBTORCH}"
node lib/setup/main.js --model --print
node --import=tsx -e "import('./lib/native.ts').then(({ native }) => {
  const environment = native().environment();
  console.log(environment);
  if (environment.cuda && !environment.cudaKernels) throw new Error('no kernels were compiled for the GPU: see above');
})"

part 'Gradients of every family on the GPU, against autograd in double precision'
npx --no-install mocha test/gradients.spec.ts
part 'Embeddings, losses and gradients of all-MiniLM-L6-v2 on the GPU, against the CPU, in fp32 and bf16'
node --import=tsx bench/gpu-parity.ts --device "$device"

part 'A BERT-base with random weights (on the CPU a tiny one), and the tokenizer of all-MiniLM-L6-v2'
small=$(node -e "import('./lib/setup/model.js').then((m) => console.log(m.smallModelDirectory()))")
"$PYTHON" - "$work/bert-base" "$small" "$device" << 'PYTHON'
import sys
import torch
from transformers import AutoTokenizer, BertConfig, BertModel
torch.manual_seed(1)
tiny = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
config = BertConfig(**(tiny if sys.argv[3] == "cpu" else {}))
BertModel(config, add_pooling_layer=False).save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(sys.argv[2]).save_pretrained(sys.argv[1])
PYTHON

part 'Against the peer; outputs are compared by all-MiniLM-L6-v2'
peers=(node --import=tsx bench/peers/main.ts --device "$device" --rounds "${ROUNDS:-3}" --threads "$(nproc)" --python "$PYTHON"
  --model "$work/bert-base")
if [ "$device" = cpu ]; then peers+=(--small --queries 4); else peers+=(--queries 256); fi
"${peers[@]}" papers train encode --check-model "$small" --json "$results"
if [ "$SECONDS" -lt 450 ]; then
  part 'The whole step without repetition, once'
  "${peers[@]}" whole --json "$results.whole"
fi
part "Done: $results"
