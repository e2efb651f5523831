# ruff: noqa: RUF001 - Chinese has its own commas and brackets
"""The words of the static page, in English and in Chinese. The English text is the key."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["ENGLISH", "Language", "Words", "words_in"]

Language = Literal["en", "zh"]

_CHINESE = {
    "Derivatives": "导数",
    "Operators, in the order of evaluation": "按求值顺序排列的算子",
    "Forward mode": "前向模式",
    "Reverse mode": "反向模式",
    "Paths": "路径",
    "Memory": "内存",
    "The first and the last of {0} operators.": "共 {0} 个算子，这里列出开头和结尾。",
    "The first and the last of {0} steps.": "共 {0} 步，这里列出开头和结尾。",
    "name": "名称",
    "operator": "算子",
    "computes": "公式",
    "value": "值",
    "type": "类型",
    "local partials": "局部偏导数",
    "line": "行",
    "none": "无",
    "derivative": "导数",
    "products": "乘积",
    "numbers": "数字",
    "central difference": "中心差分",
    "formula": "公式",
    "not computed": "未计算",
    "(long)": "（过长）",
    "{0}, where {1}": "{0}，其中 {1}",
    "0 (no path)": "0（没有路径）",
    "0 (masked)": "0（被条件屏蔽）",
    "Forward sweep for {0}, from ∂{0}/∂{0} = 1": "{0} 的前向扫描，从 ∂{0}/∂{0} = 1 开始",
    "Reverse sweep from {0}, where ∂{0}/∂{0} = 1": "从 {0} 开始的反向扫描，∂{0}/∂{0} = 1",
    "Forward sweep for {0}, seeded with ones: all its elements grow alike": (
        "{0} 的前向扫描，种子全为 1：所有元素同步变化"
    ),
    "Reverse sweep from {0}, seeded with ones: derivatives of the sum of its elements": (
        "从 {0} 开始的反向扫描，种子全为 1：对元素之和求导"
    ),
    "No operator is reached: the derivative is zero by structure.": (
        "没有算子受到影响：导数是结构性零。"
    ),
    "Not available: {0}": "不可用：{0}",
    "From {0} to {1}: {2}": "从 {0} 到 {1}：{2}",
    "From {0} to {1}: {2} in all, of which {3} are listed": (
        "从 {0} 到 {1}：共 {2} 条，列出 {3} 条"
    ),
    "path": "路径",
    "product of the partials": "偏导数的乘积",
    "sum": "和",
    "the output is the input itself": "输出就是输入本身",
    "{0} partials": "{0} 个偏导数",
    "{0} more": "另有 {0} 个",
    "forward": "前向",
    "reverse": "反向",
    "running products held": "保存的部分乘积",
    "tape": "磁带",
    "total": "合计",
    "multiplications": "乘法次数",
    "total, in bytes": "合计（字节）",
    "(masked)": "（被条件屏蔽）",
    "{0} ({1} numbers)": "{0}（{1} 个数）",
    "scalar": "数",
    "diagonal": "对角",
    "dense block": "稠密块",
    "permutation": "置换",
    "broadcast": "广播",
    "sparse": "稀疏",
    "Computational graph of {0}": "{0} 的计算图",
    "{0} operators lead from the inputs {1} down to the result. Each edge shows the value that "
    "flows along it and the local partial derivative of the operator it enters.": (
        "{0} 个算子从输入 {1} 通向结果。每条边上写着沿边流动的值，以及它进入的算子的局部偏导数。"
    ),
    "bold, red: the value that flows along the edge": "红色粗体：沿边流动的值",
    "italic, blue, ∂: local partial of the operator, formula = number": (
        "蓝色斜体，∂：算子的局部偏导数，公式 = 数值"
    ),
    "dashed: no derivative flows along this edge": "虚线：这条边上没有导数流过",
    "double border: the result": "双线框：结果",
    "{0} operators further up are not drawn.": "前面还有 {0} 个算子没有画出。",
}

#: What `value_text` writes beside numbers. Values hold no names of the user's.
_VALUES = (
    (re.compile(r" bools, (\d+) true"), r" 个真值，其中 \1 个为真"),
    (re.compile(r" numbers, none finite"), " 个数，全部非有限"),
    (re.compile(r" numbers, (\S+) to ([^\s,]+)"), r" 个数，从 \1 到 \2"),
    (re.compile(r", (\d+) not finite"), r"，\1 个非有限"),
    (re.compile(r"not computed"), "未计算"),
)


class Words:
    """Says things in a language: `words("{0} partials", 3)`."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, text: str, *values: object) -> str:
        """The sentence with its values filled in."""
        said = _CHINESE[text] if self.language == "zh" else text
        return said.format(*values) if values else said

    def known(self, text: str) -> str:
        """The text itself, said in the language if it is a word of ours."""
        return _CHINESE.get(text, text) if self.language == "zh" else text

    def value(self, text: str) -> str:
        """A value as `value_text` wrote it."""
        if self.language == "zh":
            for pattern, said in _VALUES:
                text = pattern.sub(said, text)
        return text


ENGLISH = Words("en")


def words_in(language: Language | None) -> Words:
    """The words of a language; English for None."""
    return ENGLISH if language is None else Words(language)
