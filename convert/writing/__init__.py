"""SNN to files.

artefact.py          one safetensors file: the spiking network as data, without the class it came from
nir.py               NIR, the exchange format of simulators and chips, in two forms
nir_populations.py   neurons in each form, and why the faithful one is
nir_wiring.py        synapses and pooling, and what NIR has no node for
nir_executor.py      runs a NIR graph by NIR's definitions: the judge
"""
