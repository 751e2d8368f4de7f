"""vLLM's offline `LLM.generate` as a process: ``PYTHON -m benchmarks.peers.vllm_offline FOLDER THREADS``.

It runs in an environment of its own and imports nothing of this project but `benchmarks.peers.lines`.
"""

from __future__ import annotations

import os
import sys

from benchmarks.peers import lines


def main() -> None:
    """Load, then answer sets of prompts, given as tokens."""
    folder, threads, kv_gibibytes = sys.argv[1:4]
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = kv_gibibytes
    os.environ["OMP_NUM_THREADS"] = threads
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    replies = lines.take_output()
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - it is not of this environment

    engine = LLM(
        model=folder,
        skip_tokenizer_init=True,
        dtype="bfloat16",
        max_model_len=2048,
        enable_prefix_caching=True,
        max_num_seqs=64,
        max_num_batched_tokens=2048,
        seed=0,
    )

    def answer(asked: lines.Asked) -> list[list[int]]:
        sampling = SamplingParams(
            temperature=0.0, max_tokens=asked["output_tokens"], ignore_eos=True, detokenize=False
        )
        prompts = [{"prompt_token_ids": tokens} for tokens in asked["prompts"]]
        made = engine.generate(prompts, sampling, use_tqdm=False)
        return [list(each.outputs[0].token_ids) for each in made]

    lines.serve(replies, answer)


if __name__ == "__main__":
    main()
