#!/usr/bin/env bash
# What only a GPU can show, in one go. Each part ends by itself, and one that fails keeps no other from running.
#
#     benchmarks/gpu.sh OUT POOL.jsonl SHAPE...        each SHAPE a folder with a config.json and a tokenizer
#     EXAMPLES=20 STEPS=2 DEVICE=cpu benchmarks/gpu.sh OUT POOL.jsonl SHAPE        tried without one
#
# OUT gets a log for each part and summary.txt: how each part ended and what it took.
set -uo pipefail
OUT=$(realpath -m "$1"); POOL=$(realpath "$2"); shift 2
SHAPES=("$@")
DEVICE=${DEVICE:-cuda}
EXAMPLES=${EXAMPLES:-1000}
STEPS=${STEPS:-6}
SECONDS_A_PART=${SECONDS_A_PART:-300}
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
export S2L_RES_DIR="$OUT/res"
mkdir -p "$OUT"

part() {
    local name=$1 begun=$SECONDS; shift
    timeout "$SECONDS_A_PART" "$@" > "$OUT/$name.log" 2>&1
    echo "$name: exit $?, $((SECONDS - begun)) s" | tee -a "$OUT/summary.txt"
    tail -n 6 "$OUT/$name.log"
}

part machine "$PYTHON" -c 'import torch; print(torch.__version__, torch.cuda.device_count() and torch.cuda.get_device_name())'
[ "$DEVICE" = cpu ] || part tests "$PYTHON" -m pytest -q -m gpu
for shape in "${SHAPES[@]}"; do
    name=$(basename "$shape")
    for precision in float32 tf32 bfloat16; do
        [ "$DEVICE$precision" = cputf32 ] && continue
        part "scoring-$name-$precision" "$PYTHON" benchmarks/trajectories.py --model "$shape" --pool "$POOL" \
            --num_examples "$EXAMPLES" --precision "$precision" --device "$DEVICE"
        part "scoring-$name-$precision-compiled" "$PYTHON" benchmarks/trajectories.py --model "$shape" --pool "$POOL" \
            --num_examples "$EXAMPLES" --precision "$precision" --device "$DEVICE" --compile
    done
    for precision in float32 bf16; do
        part "training-$name-$precision" "$PYTHON" benchmarks/training.py --model "$shape" --pool "$POOL" \
            --steps "$STEPS" --precision "$precision" --device "$DEVICE" ${TRL:+--trl "$TRL"}
    done
done
part quickstart make quickstart
part selection "$PYTHON" benchmarks/selection.py --compare
cat "$OUT/summary.txt"
