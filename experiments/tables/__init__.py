"""What a config may say: a class for each table of a TOML file, a `*Config` for an experiment."""

from experiments.tables.benchmarks import BenchCorr2DConfig, BenchTrainingConfig
from experiments.tables.correlation_vs_convolution import CorrelationVsConvolutionConfig
from experiments.tables.filters import EdgesConfig, FiltersLearnedVsDesignedConfig
from experiments.tables.kernels import LearnKernelConfig
from experiments.tables.networks import LeNet5Config
from experiments.tables.receptive_fields import ReceptiveFieldsConfig
from experiments.tables.zoo import KernelZooConfig

Config = (
    LeNet5Config
    | LearnKernelConfig
    | KernelZooConfig
    | EdgesConfig
    | FiltersLearnedVsDesignedConfig
    | ReceptiveFieldsConfig
    | CorrelationVsConvolutionConfig
    | BenchCorr2DConfig
    | BenchTrainingConfig
)
