"""What one trial trains: an architecture with a recipe, complete, typed and checked on creation."""

from search.candidate.architecture import *  # noqa: F403 every family: a new one needs no line here
from search.candidate.architecture import FAMILIES as FAMILIES
from search.candidate.architecture import Architecture as Architecture
from search.candidate.optimizers import OPTIMIZERS as OPTIMIZERS
from search.candidate.recipe import Recipe as Recipe
from search.candidate.values import Bounds as Bounds
from search.candidate.values import Candidate as Candidate
from search.candidate.values import CandidateError as CandidateError
from search.candidate.values import checks as checks
from search.candidate.values import field_bounds as field_bounds
from search.candidate.values import field_types as field_types
from search.candidate.values import from_values as from_values
from search.candidate.values import values_of as values_of
from search.sentences import Value as Value
