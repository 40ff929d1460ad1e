%% Keeps this BEAM node attached to its Macula node: the name is known there as long as this process holds its connection.
-module(macula_dist_node).
-behaviour(gen_server).

-export([start_link/0, register/1, unregister/0, is_registered/0, next_connection/0, dial_failed/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% Wait before the second attempt to attach again, doubled each time; milliseconds.
-define(RETRY_MIN, 100).
-define(RETRY_MAX, 5000).
%% A Macula node may end at the moment in which we have found it: another start helps.
-define(STARTS_MAX, 3).
%% The same failure of a dial to the same node is told no more often than this; milliseconds.
-define(TELL_INTERVAL, 10000).
%% Failures that are remembered for that.
-define(TOLD_MAX, 100).

-record(state, {
          node,                 %% our name, once registered
          port,                 %% the UDP port it stands for
          socket,               %% the connection that keeps us attached; undefined while there is none
          managed = false,      %% the Macula node was started by a BEAM node, and may be so again
          retry = ?RETRY_MIN,
          tokens = queue:new(), %% connections of others that wait to be taken
          acceptor,             %% who wants the next
          told = #{}            %% {Node, Reason} => when
         }).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @returns ok | {error, duplicate_name} | {error, Reason :: string()}
register(Node) ->
    gen_server:call(?MODULE, {register, Node}, infinity).

unregister() ->
    gen_server:call(?MODULE, unregister, infinity).

%% Whether this node can be dialled; then finding the Macula node again is up to this process.
is_registered() ->
    gen_server:call(?MODULE, is_registered, infinity).

%% Waits for the next connection of another node: its token, and the port of the Macula node to say it to.
next_connection() ->
    gen_server:call(?MODULE, next_connection, infinity).

dial_failed(Node, Reason) ->
    gen_server:cast(?MODULE, {dial_failed, Node, Reason}).

init([]) ->
    {ok, #state{}}.

handle_call({register, Node}, _From, State) ->
    case macula_dist_socket:port_of(Node) of
        error ->
            {reply, {error, Node ++ " ends in a port that is none"}, State};
        Port ->
            case attach(State#state{node = Node, port = Port, managed = true}) of
                {ok, Attached} -> {reply, ok, Attached};
                {error, Reason} -> {reply, {error, Reason}, State}
            end
    end;
handle_call(unregister, _From, #state{socket = Socket} = State) ->
    Socket =:= undefined orelse macula_dist_socket:close(Socket),
    {reply, ok, State#state{node = undefined, socket = undefined}};
handle_call(is_registered, _From, State) ->
    {reply, State#state.node =/= undefined, State};
handle_call(next_connection, From, State) ->
    {noreply, hand_out(State#state{acceptor = From})}.

handle_cast({dial_failed, Node, Reason}, #state{told = Told} = State) ->
    Now = erlang:monotonic_time(millisecond),
    Recent = maps:filter(fun(_, When) -> Now - When < ?TELL_INTERVAL end, Told),
    case Recent of
        #{{Node, Reason} := _} -> {noreply, State#state{told = Recent}};
        _ when map_size(Recent) >= ?TOLD_MAX -> {noreply, State#state{told = Recent}};
        _ ->
            logger:warning("macula: no connection to ~ts: ~ts", [Node, Reason]),
            {noreply, State#state{told = Recent#{{Node, Reason} => Now}}}
    end.

handle_info({tcp, Socket, Token}, #state{socket = Socket, tokens = Tokens} = State) ->
    {noreply, hand_out(State#state{tokens = queue:in(Token, Tokens)})};
handle_info({tcp_closed, Socket}, #state{socket = Socket} = State) ->
    logger:warning("macula: the Macula node of UDP port ~b has gone", [State#state.port]),
    {noreply, reattach(State#state{socket = undefined, tokens = queue:new(), retry = ?RETRY_MIN})};
handle_info(reattach, #state{socket = undefined, node = Node} = State) when Node =/= undefined ->
    {noreply, reattach(State)};
handle_info(_, State) ->
    {noreply, State}.

hand_out(#state{acceptor = undefined} = State) ->
    State;
hand_out(#state{acceptor = Acceptor, tokens = Tokens, port = Port} = State) ->
    case queue:out(Tokens) of
        {empty, _} -> State;
        {{value, Token}, Rest} ->
            gen_server:reply(Acceptor, {Token, Port}),
            State#state{acceptor = undefined, tokens = Rest}
    end.

%% Registers with the Macula node; starts one if there is none and the last one was ours.
attach(State) ->
    attach(State, ?STARTS_MAX).

attach(#state{node = Node, port = Port, managed = MayStart} = State, Starts) ->
    case macula_dist_socket:attach(Node, Port) of
        {ok, Socket, Managed} -> attached(Socket, Managed, State);
        no_node when MayStart, Starts > 0 ->
            case macula_dist_starter:start(Port) of
                ok -> attach(State, Starts - 1);
                Error -> Error
            end;
        no_node -> {error, "no Macula node is running for UDP port " ++ integer_to_list(Port)};
        Error -> Error
    end.

attached(Socket, Managed, State) ->
    ok = inet:setopts(Socket, [{active, true}]),
    {ok, State#state{socket = Socket, managed = Managed, retry = ?RETRY_MIN}}.

reattach(#state{retry = Retry, managed = Managed} = State) ->
    case attach(State) of
        {ok, Attached} ->
            logger:notice("macula: ~ts is attached to a Macula node again", [State#state.node]),
            Attached;
        {error, Reason} ->
            Retry > ?RETRY_MIN orelse logger:warning("macula: ~ts", [describe(Reason, State)]),
            _ = erlang:send_after(Retry, self(), reattach),
            State#state{managed = Managed, retry = min(2 * Retry, ?RETRY_MAX)}
    end.

describe(duplicate_name, State) -> [State#state.node, " is now the name of another node"];
describe(Reason, _State) -> Reason.
