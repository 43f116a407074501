"""Which ONNX operators a device runs: a function of the row and nothing else, in bounded time."""

from typing import Final

from edge.errors import Unfit
from edge.onnx_wire import Insides

NODES = 20_000  # in all graphs together; a tree ensemble is one
OPSETS: Final = {"": (7, 26), "ai.onnx": (7, 26), "ai.onnx.ml": (1, 5)}  # domain -> first and last version

# Left out: loops (Loop, Scan, SequenceMap), dice (Random…, Multinomial, Bernoulli), text, sequences, training, and
# whatever is of another domain, because no other kernel is in the images.
_ONNX = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd "
    "BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv "
    "ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear "
    "Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm "
    "GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax "
    "Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log "
    "LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod "
    "Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN "
    "Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign "
    "Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh "
    "ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Where Xor"
)
_ONNX_ML = (
    "ArrayFeatureExtractor Binarizer CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder "
    "LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble "
    "TreeEnsembleClassifier TreeEnsembleRegressor ZipMap"
)
ONNX: Final = frozenset(_ONNX.split())
ONNX_ML: Final = frozenset(_ONNX_ML.split())
_ALLOWED: Final = {"": ONNX, "ai.onnx": ONNX, "ai.onnx.ml": ONNX_ML}


def refuse_operators(insides: Insides) -> None:
    """Make sure that a model is made only of what a device runs.

    Raises:
        Unfit: An operator or its version is not allowed, or there are too many; each is named.
    """
    foreign = sorted(
        f"{domain}.{name}".removeprefix(".")
        for domain, name in insides.operators
        if name not in _ALLOWED.get(domain, frozenset())
    )
    if foreign or insides.functions:
        raise _refused(f"it has {', '.join(foreign[:10]) or 'functions of its own'}")
    for domain, version in insides.opsets.items():
        first, last = OPSETS.get(domain, (1, version))
        if not first <= version <= last:
            raise _refused(f"its operators are of {domain or 'ai.onnx'} {version}, and {first} to {last} are run")
    if insides.nodes > NODES:
        raise _refused(f"it has {insides.nodes} nodes, and {NODES} are allowed")


def _refused(why: str) -> Unfit:
    return Unfit(
        "the model is made of operators that this device does not run",
        why=why,
        fix="export the model with the plain operators that edge/operators.py lists",
    )
