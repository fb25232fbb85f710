"""The libraries that publish ResNeXts, as oracles: they build, save and run their models.

Each library is imported only when one of its models is wanted.
"""

from dataclasses import dataclass



@dataclass(frozen=True)
class Model:
    """A model of a library."""

    # Its name for `--arch`.
    arch: str
    # The oracle that builds it, and its name there.
    oracle: str
    name: str
    # Which formats to save; all of the oracle's if empty.
    formats: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.arch} by {self.oracle}"

    def build(self):
        """Builds the library's model, in inference mode."""
        if self.oracle == "paddleclas":
            from .paddle import Paddleclas

            return Paddleclas.build(self.name)
        from . import pytorch

        oracles = {
            "torchvision": pytorch.Torchvision,
            "timm": pytorch.Timm,
            "mmpretrain": pytorch.Mmpretrain,
            "wsl-images": pytorch.WslImages,
        }
        return oracles[self.oracle].build(self.name)


def _timm(variant: str, name: str) -> Model:
    return Model(f"timm/{variant}", "timm", name)


def _mmcls(depth: int, width: int) -> Model:
    name = f"resnext{depth}-32x{width}d_8xb32_in1k"
    return Model(f"mmcls/resnext{depth}_32x{width}d", "mmpretrain", name)


def _ppcls(name: str) -> Model:
    return Model(f"ppcls/{name.lower()}", "paddleclas", name)


MODELS = [
    Model("torchvision/resnext50_32x4d", "torchvision", "resnext50_32x4d"),
    Model("torchvision/resnext101_32x8d", "torchvision", "resnext101_32x8d"),
    Model("torchvision/resnext50_32x4d.imagenet1k_v2", "torchvision", "resnext50_32x4d"),
    Model("torchvision/resnext101_32x8d.imagenet1k_v2", "torchvision", "resnext101_32x8d"),
    Model("torchvision/resnext101_64x4d", "torchvision", "resnext101_64x4d"),
    # timm has renamed its weights since: what used to be a name is now a tag after the dot.
    _timm("resnext50_32x4d", "resnext50_32x4d.a1h_in1k"),
    _timm("resnext50d_32x4d", "resnext50d_32x4d.bt_in1k"),
    _timm("resnext101_32x8d", "resnext101_32x8d.tv_in1k"),
    _timm("resnext101_64x4d", "resnext101_64x4d.c1_in1k"),
    _timm("tv_resnext50_32x4d", "resnext50_32x4d.tv_in1k"),
    _timm("gluon_resnext50_32x4d", "resnext50_32x4d.gluon_in1k"),
    _timm("gluon_resnext101_32x4d", "resnext101_32x4d.gluon_in1k"),
    _timm("gluon_resnext101_64x4d", "resnext101_64x4d.gluon_in1k"),
    # The weights that the zoo lists with their tags.
    *(
        _timm(name, name)
        for model, tags in {
            "resnext50_32x4d": "a1 a2 a3 ra tv2 fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft",
            "resnext101_32x4d": "fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft",
            "resnext101_32x8d": "tv2 fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft fb_wsl_ig1b_ft",
            "resnext101_32x16d": "fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft fb_wsl_ig1b_ft",
            "resnext101_32x32d": "fb_wsl_ig1b_ft",
            "resnext101_64x4d": "c1 tv",
        }.items()
        for name in (f"{model}.{tag}_in1k" for tag in tags.split())
    ),
    _mmcls(50, 4),
    _mmcls(101, 4),
    _mmcls(101, 8),
    _mmcls(152, 4),
    *(
        _ppcls(f"ResNeXt{depth}{vd}_{cardinality}x4d")
        for depth in (50, 101, 152)
        for vd in ("", "_vd")
        for cardinality in (32, 64)
    ),
    *(_ppcls(f"ResNeXt101_32x{width}d_wsl") for width in (8, 16, 32, 48)),
    # The same class at another test size; PaddleClas keeps no name of its own for it any more.
    Model("ppcls/fix_resnext101_32x48d_wsl", "paddleclas", "ResNeXt101_32x48d_wsl"),
    # Where the WSL weights came from before Paddle had them, with torchvision's keys: the original repository, which
    # is also the one way to an ONNX file of more than 2 GB, and timm.
    *(Model(f"ppcls/resnext101_32x{width}d_wsl", "wsl-images", str(width), ("pth", "onnx")) for width in (8, 48)),
    *(
        Model(
            f"ppcls/resnext101_32x{width}d_wsl",
            "timm",
            f"resnext101_32x{width}d.fb_wsl_ig1b_ft_in1k",
            ("safetensors",),
        )
        for width in (8, 16, 32)
    ),
]


def find(id: str) -> Model:
    for model in MODELS:
        if model.id == id:
            return model
    raise SystemExit(f"{id}: no such model; --list prints them")
