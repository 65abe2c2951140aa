"""What one trial trains: an architecture with a recipe, complete, typed and checked on creation."""

from search.candidate.architecture import FAMILIES as FAMILIES
from search.candidate.architecture import Architecture as Architecture
from search.candidate.architecture import Cell as Cell
from search.candidate.architecture import Cnn as Cnn
from search.candidate.architecture import Fast as Fast
from search.candidate.architecture import Mlp as Mlp
from search.candidate.architecture import Residual as Residual
from search.candidate.architecture import Transfer as Transfer
from search.candidate.fields import MOST_STAGES as MOST_STAGES
from search.candidate.optimizers import OPTIMIZERS as OPTIMIZERS
from search.candidate.recipe import Recipe as Recipe
from search.candidate.values import Candidate as Candidate
from search.candidate.values import CandidateError as CandidateError
from search.candidate.values import Check as Check
from search.candidate.values import Value as Value
from search.candidate.values import Values as Values
from search.candidate.values import checks as checks
from search.candidate.values import from_values as from_values
from search.candidate.values import values_of as values_of
