%% Stands where epmd stands, `-epmd_module macula_dist_epmd`: distribution over Macula never asks it, so whoever does is
%% distribution over TCP, which net_kernel falls back to without a word when -proto_dist is given twice (in ERL_AFLAGS and
%% on the command line, say). Threat: a node that is open to the network while its owner believes it encrypted. It does not
%% start, and is told why.
-module(macula_dist_epmd).

-export([start_link/0, listen_port_please/2, register_node/2, register_node/3, address_please/3, port_please/2,
         port_please/3, names/0, names/1]).

start_link() ->
    ignore.

%% Asked before a socket listens. net_kernel ends the emulator.
listen_port_please(_Name, _Host) ->
    refuse().

%% By distributions that do not ask for the port.
register_node(_Name, _Port) ->
    refuse().

register_node(_Name, _Port, _Family) ->
    refuse().

%% A node that does not listen starts all the same, and reaches nobody.
address_please(_Name, _Host, _Family) ->
    {error, refused_by_macula}.

port_please(_Name, _Host) ->
    noport.

port_please(_Name, _Host, _Timeout) ->
    noport.

names() ->
    {error, address}.

names(_Host) ->
    {error, address}.

-spec refuse() -> no_return().
refuse() ->
    Why = case init:get_argument(proto_dist) of
              {ok, [_, _ | _]} -> "-proto_dist is given twice, which Erlang takes for none. Give the flags of `macula beam` once: "
                                  "in ERL_AFLAGS or on the command line";
              _ -> "the flags of `macula beam` are there without -proto_dist macula"
          end,
    erlang:display_string("macula: this node would use TCP, without encryption: " ++ Why ++ "\n"),
    exit(refused_by_macula).
