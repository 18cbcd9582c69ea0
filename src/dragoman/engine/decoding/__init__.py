"""The parts of decoding; `dragoman.engine.generate` puts them together."""
