"""OpenVINO GenAI's own `generate` as a process.

``python -m benchmarks.peers.raw_pipeline MODEL THREADS BLOCKS``.
"""

from __future__ import annotations

import sys

from benchmarks.peers import lines
from halfrate.engines.embedded import loading, native
from halfrate.engines.embedded.settings import EmbeddedSettings


def main() -> None:
    """Load as the engine does, with the same settings; then answer sets of prompts, given as texts."""
    model, threads, blocks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    settings = EmbeddedSettings(threads=threads, kv_blocks=blocks)
    replies = lines.take_output()
    pipeline = loading.load(loading.find(model), settings).pipeline

    def answer(asked: lines.Asked) -> list[str]:
        config = pipeline.get_config()
        config.max_new_tokens = asked["output_tokens"]
        config.apply_chat_template = False
        config.do_sample = False
        made = pipeline.generate(asked["prompts"], [config] * len(asked["prompts"]))
        finished = native.genai().GenerationStatus.FINISHED
        return [
            each.m_generation_ids[0] if each.m_status == finished else f"({each.m_status})" for each in made
        ]

    lines.serve(replies, answer)


if __name__ == "__main__":
    main()
