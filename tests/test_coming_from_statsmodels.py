import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "coming_from" / "statsmodels.md"


def test_the_pages_code_runs_and_its_assertions_hold(capsys):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert "GLMRegressor" in capsys.readouterr().out
    assert abs(names["corrected"] - names["ours"].coef_).max() < 0.05


def test_every_name_of_the_framework_is_on_the_page():
    from statsmodels.base import distributed_estimation

    page = PAGE.read_text()
    for name in (
        "_est_regularized_naive",
        "_est_unregularized_naive",
        "_join_naive",
        "_calc_grad",
        "_calc_wdesign_mat",
    ):
        assert hasattr(distributed_estimation, name)
        assert name in page
