%% Erlang distribution through a Macula node: `erl -name node1@localhost:4433 -proto_dist macula -pa EBIN`.
%%
%% The Macula node of this machine and port carries the bytes; everything else is stock distribution. Connections are Unix
%% sockets of the ordinary inet driver, so that data stays in the emulator's own C path. What Macula does not change is
%% left to inet_tcp_dist: accepting, ticks, statistics. Only dialling is ours, because inet_tcp_dist asks epmd for a port
%% and DNS for a host first, and neither knows `localhost:4433`.
-module(macula_dist).

-export([childspecs/0, listen/1, listen/2, accept/1, accept_connection/5, setup/5, close/1, select/1, address/0,
         is_node_name/1, setopts/2, getopts/2]).
-export([do_setup/6]).

-include_lib("kernel/include/dist_util.hrl").
-include_lib("kernel/include/net_address.hrl").

-define(DRIVER, macula_dist_socket).

%% Asked for before net_kernel starts: what attaches this node has to live as long as the distribution.
childspecs() ->
    {ok, [#{id => macula_dist_node,
            start => {macula_dist_node, start_link, []},
            restart => permanent,
            shutdown => 2000,
            type => worker,
            modules => [macula_dist_node]}]}.

%% Does not end in a `:Port` that is none: `node1@localhost`, `node1@localhost:4433`, `node1@[::1]:4433`.
select(Node) ->
    macula_dist_socket:port_of(Node) =/= error.

is_node_name(Node) ->
    inet_tcp_dist:is_node_name(Node).

address() ->
    {ok, Host} = inet:gethostname(),
    #net_address{host = Host, protocol = tcp, family = ?DRIVER:family()}.

listen(Name) ->
    {ok, Host} = inet:gethostname(),
    listen(Name, Host).

listen(Name, Host) ->
    Node = lists:concat([Name, "@", Host]),
    case macula_dist_node:register(Node) of
        ok -> {ok, {macula_dist_node, address(), creation()}};
        {error, duplicate_name} = Error -> Error;
        {error, Reason} ->
            %% net_kernel shows the reason as a term, if at all, and ends the emulator.
            erlang:display_string(lists:flatten(["macula: ", Reason, "\n"])),
            {error, macula_node_not_available}
    end.

%% Tells this life of the node from earlier ones. Small numbers are kept for old nodes.
creation() ->
    3 + rand:uniform((1 bsl 32) - 4).

accept(Listen) ->
    inet_tcp_dist:gen_accept(?DRIVER, Listen).

accept_connection(AcceptPid, Socket, MyNode, Allowed, SetupTime) ->
    inet_tcp_dist:gen_accept_connection(?DRIVER, AcceptPid, Socket, MyNode, Allowed, SetupTime).

close(macula_dist_node) ->
    macula_dist_node:unregister();
close(Socket) ->
    ?DRIVER:close(Socket).

%% There is no listening socket of our own whose options could be set.
setopts(macula_dist_node, _Options) -> ok;
setopts(Socket, Options) -> inet_tcp_dist:setopts(Socket, Options).

getopts(macula_dist_node, _Options) -> {ok, []};
getopts(Socket, Options) -> inet_tcp_dist:getopts(Socket, Options).

setup(Node, Type, MyNode, LongOrShortNames, SetupTime) ->
    spawn_opt(?MODULE, do_setup, [self(), Node, Type, MyNode, LongOrShortNames, SetupTime],
              dist_util:net_ticker_spawn_options()).

%% As in inet_tcp_dist, but for how the connection is made.
do_setup(Kernel, Node, Type, MyNode, LongOrShortNames, SetupTime) ->
    Timer = dist_util:start_timer(SetupTime),
    check_name(Node, LongOrShortNames),
    case macula_dist_socket:dial(Node, MyNode, SetupTime, fun() -> dist_util:reset_timer(Timer) end) of
        {ok, Socket} ->
            dist_util:reset_timer(Timer),
            dist_util:handshake_we_started(hs_data(Kernel, Node, Type, MyNode, Timer, Socket));
        {error, Reason} ->
            macula_dist_node:dial_failed(Node, Reason),
            ?shutdown2(Node, {macula, Reason})
    end.

%% A node of short names does not talk to hosts with dots, as everywhere in Erlang. The opposite check, that long names
%% have one, is not made: with a port, `localhost:4433` says enough.
check_name(Node, shortnames) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    case lists:member($., Host) of
        true ->
            error_logger:error_msg("** System NOT running to use fully qualified hostnames **~n"
                                   "** Hostname ~ts is illegal **~n", [Host]),
            ?shutdown(Node);
        false -> ok
    end;
check_name(_Node, _LongNames) ->
    ok.

hs_data(Kernel, Node, Type, MyNode, Timer, Socket) ->
    #hs_data{
       kernel_pid = Kernel,
       other_node = Node,
       this_node = MyNode,
       socket = Socket,
       timer = Timer,
       this_flags = 0,
       other_version = 5,
       f_send = fun ?DRIVER:send/2,
       f_recv = fun ?DRIVER:recv/3,
       f_setopts_pre_nodeup = fun(S) -> inet:setopts(S, [{active, false}, {packet, 4}]) end,
       f_setopts_post_nodeup =
           fun(S) -> inet:setopts(S, [{active, true}, {deliver, port}, {packet, 4}, binary]) end,
       f_getll = fun inet:getll/1,
       f_address =
           fun(_, _) ->
                   [_, Host] = string:split(atom_to_list(Node), "@"),
                   #net_address{address = undefined, host = Host, protocol = tcp, family = ?DRIVER:family()}
           end,
       mf_tick = fun(S) -> inet_tcp_dist:tick(?DRIVER, S) end,
       mf_getstat = fun inet_tcp_dist:getstat/1,
       request_type = Type,
       mf_setopts = fun ?MODULE:setopts/2,
       mf_getopts = fun ?MODULE:getopts/2
      }.
