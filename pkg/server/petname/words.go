package petname

import "strings"

func adjectives() []string {
	return strings.Fields(`
		able agile airy amber ample ancient arctic azure balmy bold brave breezy bright brisk bronze calm
		candid caring cheery chilly civil clean clever coastal cobalt copper coral cosmic cosy crimson crisp curious
		dapper daring dawn deep deft dewy eager early earnest easy elder emerald fair famous fancy fast
		fearless festive fine fleet fluent fond frank free fresh frosty gentle giddy gilded glad gleaming golden
		good grand happy hardy hazel hearty honest humble indigo ivory jolly jovial keen kind lively loyal
		lucid lucky lunar mellow merry mighty mild mint misty modest mossy neat nimble noble olive opal
		patient pearly placid plucky polite prime proud quick quiet rapid ready regal rosy ruby rustic sage
		sandy serene sharp shiny silent silver simple sleek snowy solar sound spry stable steady still stout
		sturdy sunny swift tidy tranquil true trusty upbeat velvet vivid warm wise witty young zesty`)
}

func animals() []string {
	return strings.Fields(`
		albatross alpaca antelope badger barbet bat bear beaver beetle bison bobcat bongo bunting buzzard camel caribou
		cat cheetah chinchilla cicada civet coati cod condor coot cormorant coyote crab crane cricket crow cuckoo
		curlew deer dingo dolphin dormouse dove duck eagle egret eider eland elk emu ermine falcon ferret
		finch firefly fox frog gannet gazelle gecko gibbon goat goose grebe grouse gull hare hawk hedgehog
		heron hippo hornbill ibex ibis iguana impala jackal jackdaw jay kestrel kingfisher kite kiwi koala kudu
		lark lemming lemur leopard linnet llama lobster loon lynx macaw magpie mallard manatee marmot marten martin
		meerkat mole moose moth mouse newt nightjar ocelot octopus okapi orca oriole oryx osprey otter owl
		panda panther parrot partridge pelican penguin petrel pheasant pika plover pony puffin puma quail rabbit raccoon
		raven robin rook salmon seal serval shrew skylark sloth snipe sparrow squirrel starling stoat stork swallow
		swan swift tapir teal tern thrush tiger toad toucan trout turtle vole wagtail walrus weasel whale
		wolf wombat woodpecker wren yak zebra`)
}
