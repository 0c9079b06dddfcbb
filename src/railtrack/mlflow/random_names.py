"""Random names for runs and models that are created without one: `adjective-animal-123`, similar to MLflow's."""

import secrets

ADJECTIVES = """
    able agile airy amber ample apt arctic auburn balmy beaming blithe bold breezy bright brisk bronze calm candid
    casual cheery chief civic classy clear clever coastal cosmic cozy crafty crimson crisp curious daring dapper
    deft dreamy earnest easy elated epic exact fabled fair fancy fleet fluent fond free frosty gallant gentle giddy
    gilded glad golden grand hardy hasty hazel hearty honest humble ivory jaunty jolly jovial keen kind lively loyal
    lucid lucky lunar lush magic mellow merry mighty mindful modest neat nimble noble opal patient peppy plucky
    polite proud quaint quick quiet rapid regal robust rosy royal rustic sage savvy serene shiny silent silver sleek
    smooth snappy snug solar spry stately steady stellar sturdy sunny swift tidy tranquil trusty upbeat urban
    valiant velvet vivid warm wise witty young zesty
""".split()  # noqa: SIM905 (a list literal has a line for each word)
ANIMALS = """
    albatross alpaca antelope badger bass beagle bear beaver bee bison boar bobcat buffalo calf camel canary caribou
    carp cat cheetah chipmunk cobra cod colt condor cougar cow coyote crab crane cricket crow deer dingo dog dolphin
    donkey dove dragonfly duck eagle eel elk emu falcon ferret finch firefly flamingo fox frog gazelle gecko gibbon
    giraffe gnat goat goose grouse gull hamster hare hawk hedgehog heron herring horse hound ibex ibis iguana impala
    jackal jaguar jay kestrel kite kiwi koala lark lemur leopard lion lizard llama lobster lynx macaw magpie marlin
    marmot marten mink mole moose moth mouse mule newt ocelot octopus orca oriole osprey otter owl ox panda panther
    parrot perch pika pony puffin puma quail rabbit raven robin salmon seal shark sheep shrew shrimp skink sloth
    snail snipe sparrow squid stag stork swan tapir tern tiger toad trout turtle viper vole walrus wasp weasel whale
    wolf wombat wren yak zebra
""".split()  # noqa: SIM905


def random_name() -> str:
    """Return a random name, which is not necessarily unique."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{secrets.randbelow(1000)}"
