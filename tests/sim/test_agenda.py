from engine.sim.agenda import Agenda, Step


def test_steps_come_by_their_time_and_then_by_the_order_of_planning() -> None:
    agenda = Agenda()
    agenda.plan(Step.FILL, 1, 20)
    agenda.plan(Step.SUBMIT, 2, 10)
    agenda.plan(Step.CANCEL, 3, 10)

    taken = list(agenda.take(20))

    assert taken == [(Step.SUBMIT, 2, 10), (Step.CANCEL, 3, 10), (Step.FILL, 1, 20)]


def test_what_is_planned_meanwhile_is_taken_too_when_it_is_due() -> None:
    agenda = Agenda()
    agenda.plan(Step.PRE_SUBMIT, 1, 10)

    taken = []
    for step in agenda.take(20):
        taken.append(step)
        if step[0] is Step.PRE_SUBMIT:
            agenda.plan(Step.SUBMIT, 1, 15)
            agenda.plan(Step.FILL, 1, 30)

    assert taken == [(Step.PRE_SUBMIT, 1, 10), (Step.SUBMIT, 1, 15)]
    assert agenda.rows() == [(Step.FILL, 1, 30)]
