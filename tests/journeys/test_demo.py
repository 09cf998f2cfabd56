"""`make demo`: the whole story, told to a running desk; and told again, since a demo is shown twice."""

import pytest

from cryptobot.demo.story import Story
from tests.desk import Desk
from tests.journeys.team import team

pytestmark = pytest.mark.desk


def test_the_story_is_true_and_true_again(desk: Desk) -> None:
    with team(desk) as us:
        for _ in range(2):
            said: list[str] = []
            Story(us.alice, us.bob, us.venues, said.append).tell()
            text = "\n".join(said)
            assert "403 vote.self" in text
            assert "equal to the last digit" in text
