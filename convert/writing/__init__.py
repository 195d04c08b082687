"""The result to files.

artefact.py   a spiking network as one safetensors file: data only, loads without the model's class or pickle
"""
