"""Files to Graph.

sources.py      identify(): what a file is, told from its content
torch_file.py   files of torch.save: records.py unpickles into inert stand-ins, rebuilding.py makes real layers of them
archive.py      zip archives: refused where they could harm, checksums compared; growth.py: pickles that fill the memory
hints.py        what the user says about a file: --arch, --activation, --trust
weights.py      weights without a network: state_dict, checkpoint, safetensors
architecture.py the network that --arch names, and its weights
stacks.py       a stack of linear layers from the shapes of its weights
pt2.py          torch.export archives; pt2_graph.py their JSON graph, pt2_tensors.py their weights
torchscript.py  TorchScript, behind --trust; storages.py: tensors that are larger than their members
onnx_file.py    ONNX files, bounded and checked; onnx_trace.py walks them, onnx_operators.py says what each node is
sklearn_model.py  from_estimator(): scikit-learn's MLPs; skops_file.py: their files; pickles.py: what is refused
models.py       open_model(): any of them, as one thing that can be traced
tracing.py      trace(): an nn.Module through torch.export to a Graph, checked against the module
captured.py     ATen calls in a row; walk.py reads them into a Graph with a row of coverage for each
footprint.py    what a network needs, bounded before anything runs; probes.py compares it with its original after
aten.py         what each ATen operation becomes
coverage.py     what became of every operation, and why
"""
