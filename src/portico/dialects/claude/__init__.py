"""What Claude takes, by whatever API it is called: Anthropic's own, Bedrock's, Vertex's."""

from portico.dialects.claude.inputs import input_schema
from portico.dialects.claude.models import Abilities, abilities
from portico.dialects.claude.schema import fit
from portico.dialects.claude.thought import Thought, sampling, think, wanted

__all__ = ["Abilities", "Thought", "abilities", "fit", "input_schema", "sampling", "think", "wanted"]
