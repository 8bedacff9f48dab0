#!/usr/bin/env bash
# What only a GPU can show, in one go. Each part ends by itself, and one that fails keeps no other from running.
#
#     benchmarks/gpu.sh OUT POOL.jsonl SHAPE...        each SHAPE a folder with a config.json and a tokenizer
#     EXAMPLES=20 STEPS=2 DEVICE=cpu benchmarks/gpu.sh OUT POOL.jsonl SHAPE        tried without one
#
# OUT gets a log for each part and summary.txt: how each part ended and what it took. With ROWS (default 262,039, the size
# of MathInstruct) the pool is repeated to that many rows for the last scoring, whose plain loop scores EXAMPLES of them.
set -uo pipefail
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
OUT=$(realpath -m "$1"); POOL=$(realpath -m "$2"); shift 2
SHAPES=()
for shape in "$@"; do SHAPES+=("$(realpath -m "$shape")"); done
for file in "$POOL" "${SHAPES[@]/%//config.json}"; do [ -s "$file" ] || { echo "$file: not there, or empty"; exit 2; }; done
DEVICE=${DEVICE:-cuda}
EXAMPLES=${EXAMPLES:-1000}
STEPS=${STEPS:-6}
ROWS=${ROWS:-262039}
CLUSTERED=${CLUSTERED:-1e7}
SECONDS_A_PART=${SECONDS_A_PART:-300}
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
export S2L_RES_DIR="$OUT/res"
if [ "$DEVICE" != cpu ] && ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "no GPU here: DEVICE=cpu tries the script without one"; exit 2
fi
mkdir -p "$OUT" || exit 2

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
    done
    for precision in float32 bf16; do
        part "training-$name-$precision" "$PYTHON" benchmarks/training.py --model "$shape" --pool "$POOL" \
            --steps "$STEPS" --precision "$precision" --device "$DEVICE" ${TRL:+--trl "$TRL"}
    done
done
for _ in $(seq $((ROWS / $(grep -c "" "$POOL") + 1))); do cat "$POOL"; done | head -n "$ROWS" > "$OUT/pool.jsonl"
part "scoring-$ROWS-rows" "$PYTHON" benchmarks/trajectories.py --model "${SHAPES[0]}" --pool "$OUT/pool.jsonl" \
    --num_examples "$ROWS" --num_checkpoints 12 --plain_examples "$EXAMPLES" --precision bfloat16 --device "$DEVICE"
part quickstart make quickstart
part fsdp-on-one-device "$PYTHON" -m torch.distributed.run --standalone --nproc_per_node=1 train.py \
    --config_file configs/quickstart/proxy.yml run_name=fsdp train_args.fsdp=true train_args.max_steps=8
part selection "$PYTHON" benchmarks/selection.py --compare
# The same command with the faiss that is installed, with its GPUs and without.
part "selection-$CLUSTERED" "$PYTHON" benchmarks/selection.py --num_examples "$CLUSTERED" --without_texts --presets paper
part "selection-$CLUSTERED-cpu" env CUDA_VISIBLE_DEVICES= "$PYTHON" benchmarks/selection.py --num_examples "$CLUSTERED" \
    --without_texts --presets paper
cat "$OUT/summary.txt"
