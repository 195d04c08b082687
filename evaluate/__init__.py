"""How good, how fast, how costly is a spiking network?"""
