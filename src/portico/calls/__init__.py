"""What the story of a call (`portico.gateway`) hands its longer steps to: looking in, replying, streaming, copying."""
