"""Files to Graph.

sources.py      identify(): what a file is, told from its content
torch_file.py   nn.Module files: unpickled into inert stand-ins first, rebuilt from torch.nn classes after
models.py       open_model(): any of them, as one thing that can be traced
tracing.py      trace(): an nn.Module through torch.export to a Graph, checked against the module
aten.py         what each ATen operation becomes
coverage.py     what became of every operation, and why
"""
